"""Voice activity: where in a recording somebody speaks. A leaf of conf/vad names a detector; `none` names none."""
