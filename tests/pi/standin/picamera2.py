"""A stand-in for picamera2, which needs libcamera and a camera: only what the adapter calls, as its manual says it.

The order of the channels is that of the table of formats in "The Picamera2 Library" (appendix A): `capture_array` of
"RGB888" gives (height, width, 3) in B, G, R order, of "BGR888" in R, G, B order. A camera that is not there is an
IndexError; with `wait=False` a capture is a job for `wait`, which raises TimeoutError; nothing is captured before
`configure` and `start`.

What it is not: it makes no claim on timing, buffers, sensor modes, colour processing or alignment of odd sizes. It has
no second ("lores") stream, for the adapter asks for none: the main stream already has the size that was asked for.
"""

from typing import Any

import numpy as np

COLOUR = {"R": 200, "G": 100, "B": 50}  # the scene: one colour everywhere
CAMERAS = [{"Num": 0, "Model": "imx708"}]
opened: list["Picamera2"] = []


class Picamera2:
    def __init__(self, camera_num: int = 0) -> None:
        self.model = CAMERAS[camera_num]["Model"]
        self.state, self.hung = "open", False
        self._configuration: dict[str, Any] = {}
        opened.append(self)

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return CAMERAS

    def create_video_configuration(self, main: dict[str, Any], controls: dict[str, Any]) -> dict[str, Any]:
        return {"main": dict(main), "controls": dict(controls)}

    def configure(self, camera_config: dict[str, Any]) -> None:
        assert self.state == "open"
        self._configuration, self.state = camera_config, "configured"

    def camera_configuration(self) -> dict[str, Any]:
        return self._configuration

    def start(self) -> None:
        assert self.state == "configured"
        self.state = "started"

    def capture_array(self, name: str = "main", wait: bool = True) -> Any:
        if self.state != "started":
            raise RuntimeError("camera is not running")
        stream = self._configuration[name]
        width, height = stream["size"]
        order = {"RGB888": "BGR", "BGR888": "RGB"}[stream["format"]]
        array = np.full((height, width, 3), [COLOUR[channel] for channel in order], np.uint8)
        return array if wait else ("job", array)

    def wait(self, job: tuple[str, np.ndarray], timeout: float | None = None) -> np.ndarray:
        if self.hung:
            raise TimeoutError
        return job[1]

    def close(self) -> None:
        self.state = "closed"
