"""Dialogue in Chinese."""

from textgym.tasks.dialogue_language import Domain, Frame, Language, same

_HOURS = ("上午9", "上午10", "上午11", *(f"下午{h}" for h in range(1, 6)), *(f"晚上{h}" for h in range(6, 10)))
_DIGITS = {str(n): digit for n, digit in enumerate("零一二三四五六七八九")} | {"2": "两", "10": "十", "11": "十一"}
_TOWNS = ("北京", "上海", "广州", "成都", "杭州", "西安", "南京", "昆明", "青岛", "厦门")

CHINESE = Language(
    domains=(
        Domain("座位", ("place", "people", "day", "time"), ("我想订座", "有空位吗", "帮我留个位子", "我们要吃饭")),
        Domain("车票", ("from", "to", "day", "time"), ("我想买票", "还有票吗", "帮我买张票", "我们要出门")),
        Domain("预约", ("staff", "service", "day", "time"), ("我想约个时间", "能来吗", "帮我约一下", "我要过来")),
    ),
    values={
        "place": same("福满楼", "聚香园", "江南春", "竹里馆", "老味道", "小渔村", "望湖居", "川香阁"),
        "people": {f"{n}位": (f"{n}位", f"{_DIGITS[str(n)]}位") for n in range(2, 10)},
        "from": same(*_TOWNS, form="从{}"),
        "to": same(*_TOWNS, form="到{}"),
        "service": same("理发", "按摩", "体检", "洗牙", "美甲", "验光"),
        "staff": same("小王", "小李", "小陈", "小张", "小刘", "小赵", "小吴", "小林"),
        "day": {f"周{day}": (f"周{day}", f"星期{day}") for day in "一二三四五六日"},
        "time": {f"{hour}点": (f"{hour}点", f"{hour[:2]}{_DIGITS[hour[2:]]}点") for hour in _HOURS},
    },
    chunks={
        "place": "在{}",
        "people": "{}",
        "from": "{}",
        "to": "{}",
        "service": "{}",
        "staff": "找{}",
        "day": "{}",
        "time": "{}",
    },
    acts={
        "confirm": ("订好", "预留", "确认"),
        "refuse": ("已满", "没有", "订不到", "满了"),
        "place": ("哪家店",),
        "people": ("几位",),
        "from": ("从哪里",),
        "to": ("到哪里",),
        "service": ("什么项目",),
        "staff": ("找哪位",),
        "day": ("哪天", "星期几"),
        "time": ("几点", "什么时间"),
    },
    marks={"confirm": "可订：", "refuse": "不可："},
    orders=((0, 1, 2, 3), (2, 3, 0, 1), (1, 0, 2, 3), (2, 3, 1, 0)),
    fills=("{}", "{}吧", "那就{}"),
    changes=("改成{}", "换成{}吧", "还是{}"),
    replies={
        "confirm": (
            Frame("您{chunks}的{noun}订好了", (2, 3, 0, 1)),
            Frame("好的{chunks}的{noun}已预留", (0, 1, 2, 3)),
            Frame("{noun}已确认是{chunks}", (2, 3, 0, 1)),
            Frame("{chunks}为您订好{noun}", (0, 1, 2, 3)),
        ),
        "refuse": (
            Frame("抱歉{chunks}的{noun}已满", (2, 3, 0, 1)),
            Frame("不好意思没有{chunks}的{noun}", (0, 1, 2, 3)),
            Frame("很遗憾{noun}订不到{chunks}", (2, 3, 0, 1)),
            Frame("{chunks}的{noun}都满了", (0, 1, 2, 3)),
        ),
        "ask": (
            Frame("请问您{chunks}的{noun}要{ask}", (2, 3, 0, 1)),
            Frame("好的{chunks}的{noun}{ask}呢", (0, 1, 2, 3)),
            Frame("请告诉我{ask}您要{chunks}的{noun}", (2, 3, 0, 1)),
            Frame("{chunks}可以请问{noun}要{ask}", (0, 1, 2, 3)),
        ),
    },
    space="",
    pause="，",
)
