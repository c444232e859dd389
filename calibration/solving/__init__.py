"""What finds a calibration: boards, lenses, places, the floor, people, time offsets. Arrays in, results out."""
