"""Dialogue in English: unpunctuated, as transcribed speech is, so that words between white space are whole."""

from textgym.tasks.dialogue_language import Domain, Frame, Language, same

_PLACES = ("luigi", "sakura", "el toro", "blue dragon", "old mill", "taj palace", "green olive", "red lantern")
_CITIES = ("oslo", "rome", "paris", "vienna", "lisbon", "dublin", "prague", "athens", "berlin", "madrid")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")

ENGLISH = Language(
    domains=(
        Domain(
            "table",
            ("place", "people", "day", "time"),
            ("can i get a table", "we want to eat", "i need a table", "please find us a table"),
        ),
        Domain(
            "ticket",
            ("from", "to", "day", "time"),
            ("i need a ticket", "we want to travel", "can i get a train", "please find me a seat"),
        ),
        Domain(
            "appointment",
            ("service", "staff", "day", "time"),
            ("can i come", "i need an appointment", "i want to come", "please fit me in"),
        ),
    ),
    values={
        "place": same(*_PLACES),
        "people": {f"{n} people": (f"{n} people", f"{word} people") for n, word in enumerate(_NUMBERS, 2)},
        "from": same(*_CITIES, form="from {}"),
        "to": same(*_CITIES, form="to {}"),
        "service": same("haircut", "massage", "checkup", "facial", "manicure", "fitting"),
        "staff": same("anna", "ben", "clara", "david", "emma", "frank", "grace", "henry"),
        "day": same(*_DAYS),
        "time": {f"{h} am": (f"{h} am", f"{h:02}:00") for h in range(9, 12)}
        | {f"{h} pm": (f"{h} pm", f"{h + 12}:00") for h in range(1, 10)},
    },
    chunks={
        "place": "at {}",
        "people": "for {}",
        "from": "{}",
        "to": "{}",
        "service": "for a {}",
        "staff": "with {}",
        "day": "on {}",
        "time": "at {}",
    },
    acts={
        "confirm": ("booked", "reserved", "confirmed"),
        "refuse": ("not available", "fully booked", "no table left", "no ticket left", "no appointment left", "taken"),
        "place": ("which restaurant",),
        "people": ("how many people",),
        "from": ("from where",),
        "to": ("to where",),
        "service": ("what treatment",),
        "staff": ("with whom",),
        "day": ("which day", "what day"),
        "time": ("what time", "which time"),
    },
    marks={"confirm": "free: ", "refuse": "full: "},
    orders=((0, 1, 2, 3), (1, 0, 2, 3), (2, 3, 0, 1), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 2, 0)),
    fills=("{}", "{} please", "let us say {}"),
    changes=("rather {}", "no {} please", "{} instead"),
    replies={
        "confirm": (
            Frame("your {noun} {chunks} is booked", (0, 1, 2, 3)),
            Frame("i have reserved your {noun} {chunks}", (2, 3, 0, 1)),
            Frame("all done the {noun} {chunks} is confirmed", (1, 0, 2, 3)),
            Frame("{chunks} your {noun} is booked", (2, 3, 1, 0)),
        ),
        "refuse": (
            Frame("sorry your {noun} {chunks} is not available", (0, 1, 2, 3)),
            Frame("sorry we are fully booked {chunks}", (2, 3, 0, 1)),
            Frame("there is no {noun} left {chunks}", (1, 0, 2, 3)),
            Frame("{chunks} every {noun} is taken", (2, 3, 1, 0)),
        ),
        "ask": (
            Frame("{ask} please for your {noun} {chunks}", (0, 1, 2, 3)),
            Frame("and {ask} is that {noun} {chunks}", (2, 3, 0, 1)),
            Frame("your {noun} {chunks} sure and {ask}", (1, 0, 2, 3)),
            Frame("{chunks} fine {ask} is your {noun}", (2, 3, 1, 0)),
        ),
    },
    space=" ",
    pause=" ",
)
