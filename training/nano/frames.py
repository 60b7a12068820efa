"""More ways to say each edit: what it is called, set into sentences that all edits share.

An edit has phrases of four kinds: `do` tells to do it, `be` says what the picture then is, `thing`
what it then has, `bad` what is wrong without it. `FRAMES` are sentences with a gap of a kind. The
notation is that of `phrasings`; `{doing}` is a `do` that begins with its participle. British
spelling stands for both.
"""

# ruff: noqa: E501 (one edit a block, one kind a line reads best)

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

MUCH = "[|||a bit |a little |slightly |somewhat |much |a lot |way |far |noticeably |considerably |even ]"
SOME = "[|||| a bit| a little| slightly| a lot| some| by a lot| strongly| quite a bit| gently]"
TOO = "[is|looks|seems|came out|turned out] [|way |far |much |a bit |a little |really |just ]too"


@dataclass(frozen=True, slots=True)
class Said:
    """The phrases of one edit, by their kind. `~` stands for `MUCH`, `^` for `SOME`, `~~too` for
    `TOO` and any other `~~` for a verb alone.
    """

    do: tuple[str, ...]
    be: tuple[str, ...] = ()
    thing: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()

    def of(self, kind: str) -> list[str]:
        """Its patterns of a kind: a field's name, or `doing`."""
        phrases = [_whole(phrase) for phrase in getattr(self, "do" if kind == "doing" else kind)]
        return [gerund(phrase) for phrase in phrases] if kind == "doing" else phrases


FRAMES: dict[str, tuple[str, ...]] = {
    "do": (
        "{do}", "{do}", "{do}", "{do}", "[can|could] we {do}", "i need you to {do}", "i want to {do}", "try to {do}", "go ahead and {do}", "is it possible to {do}", "would it be possible to {do}", "i need help to {do}", "help me {do}",
        "{do} if you can", "it would be [great|nice|lovely] if you could {do}", "you should {do}", "what happens if you {do}", "all i want is to {do}", "do me a favour and {do}", "{do}, nothing else", "{do} and leave the rest as it is",
        "[simply|quickly|carefully] {do}", "your task is to {do}", "the task: {do}", "i am asking you to {do}", "may i ask you to {do}", "[be so kind and|kindly] {do}", "we need to {do}", "all you have to do is {do}", "edit: {do}", "{do}, that is all",
        "try {doing}", "how about {doing}", "what about {doing}", "would you mind {doing}", "i was thinking of {doing}", "start by {doing}", "i suggest {doing}", "you could improve it by {doing}", "{doing} would be [nice|great|perfect]",
    ),
    "be": (
        "{be}", "{be}", "make {it} {be}", "make {it} {be}", "make {it} look {be}", "i want {it} {be}", "i want {it} to be {be}", "i need {it} to be {be}", "{it} should be {be}", "{it} should look {be}", "{it} must be {be}", "{it} has to be {be}", "get {it} {be}",
        "have {it} {be}", "[a|the] {be} version[| of {it}]", "the same [photo|picture|image|thing] but {be}", "{it} but {be}", "[could|can] {it} be {be}", "can i have {it} {be}", "i would like {it} {be}", "i'd like to see {it} {be}", "i prefer {it} {be}",
        "let {it} be {be}", "{it}, {be}", "i think {it} would [look|be] better {be}", "show me {it} {be}", "{it} would be nicer {be}", "render {it} {be}", "{it} needs to be {be}", "[give me|i want] a {be} [photo|picture|image|version|one]", "please, {be}", "what would {it} look like {be}",
        "result: {be}", "[edit|change|adjust|modify|alter] {it} so that it [is|looks|becomes] {be}", "[edit|change|adjust|modify|alter] {it} to be {be}", "i wish {it} were {be}", "keep everything but make it {be}", "{be} all over",
    ),
    "thing": (
        "{thing}", "{thing}", "add {thing}", "add {thing} to {it}", "give {it} {thing}", "give {it} {thing}", "i want {thing}", "i need {thing}", "i would like {thing}", "i'd like {it} with {thing}", "{it} needs {thing}", "{it} could do with {thing}", "apply {thing}",
        "apply {thing} to {it}", "use {thing}", "go for {thing}", "put {thing} on {it}", "{thing} on {it}", "{it} with {thing}", "let's have {thing}", "[can|could] i [have|get] {thing}", "[can|could] we have {thing}", "how about {thing}", "try {thing}", "show me {thing}", "create {thing}",
        "do {thing}", "i'm looking for {thing}", "i am after {thing}", "what about {thing}", "get me {thing}", "with {thing}", "{thing} would be [nice|great]", "{thing} for this one", "i think {it} needs {thing}", "make it with {thing}", "render {it} with {thing}", "[edit|change|adjust] {it} to have {thing}",
    ),
    "bad": (
        "{it} {bad}", "{it} {bad}, [fix|change|correct|repair|improve] [it|that|this]", "{it} {bad}, can you [help|do something about it|change that]", "it {bad}, {do}", "{it} {bad}, so {do}", "{do}, it {bad}", "{do} because {it} {bad}",
        "it {bad}, make it {be}", "i think {it} {bad}", "{it} {bad}, give it {thing}", "the problem: {it} {bad}",
    ),
}  # fmt: skip


def _more(knob: str) -> tuple[str, ...]:
    return (
        f"[increase|raise|boost|lift|up|crank up|bump up|pump up|push up|turn up|dial up|ramp up|jack up|step up|hike|heighten|max out|enhance] [the |its |]{knob}^",
        f"[crank|bump|pump|push|turn|dial|ramp|bring|move|slide|take] [the |its |]{knob} [up|upwards|higher]^", f"[set|make] the {knob} [higher|stronger|greater]", f"add [more |some |extra |]{knob}", f"[double|maximise] the {knob}",
    )  # fmt: skip


def _less(knob: str) -> tuple[str, ...]:
    return (
        f"[reduce|lower|decrease|drop|cut|lessen|weaken|diminish|turn down|dial down|tone down|bring down|step down|scale back|cut back|take down|minimise] [the |its |]{knob}^",
        f"[turn|dial|bring|tone|push|move|slide|take|pull|scale] [the |its |]{knob} [down|downwards|lower|back]^", f"[set|make] the {knob} [lower|weaker|smaller]", f"[remove|take away|take out] [some|some of the|a bit of] {knob}", f"[halve|minimise] the {knob}",
    )  # fmt: skip


def _much(knob: str) -> tuple[str, ...]:
    return f"~more {knob}", f"[higher|increased|stronger|greater|extra|additional|plenty of] {knob}", f"a {knob} [boost|increase]", f"{knob} [up|higher]^"  # fmt: skip


def _little(knob: str) -> tuple[str, ...]:
    return f"~less {knob}", f"[lower|reduced|weaker|decreased|little] {knob}", f"a {knob} [cut|decrease|reduction]", f"{knob} [down|lower]^"  # fmt: skip


LIGHT = "[brightness|exposure|light level|lightness|luminosity|brightness level]"
COLOUR = "[saturation|colour saturation|vibrance|colour intensity|vividness|colourfulness|chroma]"
WARMTH = "[warmth|colour temperature|temperature]"
SOFTNESS = "[blur|blurriness|softness|blurring]"
DETAIL = "[sharpness|detail|crispness|definition]"

SAID: dict[str, Said] = {
    "black and white": Said(
        do=("take [all |]the colour out of {it}", "take the colour away", "lose [all |]the colours", "strip {it} of [all |]its colour", "bleed the colour out", "kill the colour", "make the colours disappear", "do away with [the|all] colours", "eliminate [all|every|the] colour", "turn off the colours", "reduce {it} to greys", "make grey everything that has a colour", "discard the colour", "set the saturation to zero", "put {it} [in|into] black and white", "desaturate {it} [completely|fully|entirely|all the way]", "turn every colour into grey", "print {it} in black and white"),
        be=("black and white", "b&w", "b/w", "b+w", "bw", "monochrome", "grayscale", "grey scale", "monochromatic", "all grey", "colourless", "without [any |]colour", "free of colour", "in black and white", "in black & white", "in shades of grey", "in grey tones", "black/white", "uncoloured", "with no colours"),
        thing=("a black and white [look|version|filter|photo|conversion|film look]", "no colour", "grey tones only", "only grey tones", "a b&w [look|version|filter]", "a monochrome [look|version|feel]", "zero saturation", "just blacks, whites and greys", "a noir look", "old tv look without colour"),
        bad=("[does not need|should not have] colour", "has colours i do not want"),
    ),
    "sepia": Said(
        do=("sepia tone {it}", "tone {it} brown like an old photograph", "colour {it} in brown sepia", "bring sepia [tones |]into {it}", "age {it} with sepia", "tone {it} [in|with] [warm |]brown sepia", "print {it} in sepia", "put {it} in sepia", "sepia-fy {it}", "turn {it} into a brown old photograph"),
        be=("sepia", "sepia toned", "sepia coloured", "sepia-toned", "sepia tinted", "brown toned", "brown and white", "in sepia", "in sepia tones", "in brown sepia", "in old brown tones", "brown like an antique photo", "sepia brown"),
        thing=("a sepia [look|filter|tone|effect|toning|finish|wash|print]", "sepia tones", "sepia", "sepia colours", "the brown tone of [old|antique|ancient] [photos|photographs|pictures]", "an antique brown [look|tone]", "the [1800s|1900s|victorian] brown photo look", "some sepia", "a brown monochrome tone", "brown tones instead of colours"),
    ),
    "invert": Said(
        do=("invert [all |][the |]colours", "invert every colour", "invert {it}", "negate the colours", "turn {it} into its negative", "turn {it} into a negative", "make a negative [out |]of {it}", "make the colours opposite", "show the opposite colours", "reverse the colours", "flip the colours", "invert the tones", "make light areas dark and dark areas light", "change every colour to the opposite one", "turn the colours around", "replace each colour with its complement", "turn [black to white and white to black|light to dark and dark to light]"),
        be=("inverted", "colour inverted", "colour-inverted", "negative", "a negative", "a colour negative", "like a negative", "like a film negative", "in negative", "in negative colours", "in inverted colours", "in opposite colours", "reversed in colour", "with [all |]colours inverted", "with inverted colours", "with every colour reversed"),
        thing=("inverted colours", "[a|the] negative", "a colour [inversion|negative]", "a negative [effect|filter|version|look]", "opposite colours", "reversed colours", "complementary colours everywhere", "an invert [filter|effect]", "a film negative [effect|look]"),
    ),
    "brighter": Said(
        do=(*_more(LIGHT), "brighten {it}^", "lighten {it}^", "brighten {it} up^", "lighten {it} up^", "lift the [brightness|exposure]^", "raise the [brightness|exposure|light level]^", "increase the [exposure|brightness]^", "push the [exposure|brightness] up^", "turn the [brightness|light|lights] up^", "turn on the lights", "bring [in |]more light", "let more light in", "expose {it} longer", "overexpose {it}^", "make all of it lighter", "add brightness^", "light {it} up^", "make the light stronger", "illuminate {it} better"),
        be=("~brighter", "~brighter", "~lighter", "bright", "very bright", "well lit", "better lit", "brightened", "lightened", "brightened up", "~more luminous", "~less dark", "full of light", "brightly lit"),
        thing=(*_much(LIGHT), "more light", "more brightness", "[a lot|plenty|lots] of light", "extra [light|brightness]", "higher [brightness|exposure]", "a higher exposure", "a brighter [look|exposure|version]", "brighter light", "stronger light", "additional brightness", "a brightness boost"),
        bad=("~~too dark", "~~too dim", "~~too gloomy", "~~too murky", "~~too shadowy", "~~underexposed", "[is|looks] [very|rather|quite] dark", "is not bright enough", "needs light", "lacks light", "is hardly visible"),
    ),
    "darker": Said(
        do=(*_less(LIGHT), "darken {it}^", "dim {it}^", "dim the light^", "dim {it} down^", "lower the [brightness|exposure|light level]^", "reduce the [exposure|brightness]^", "decrease the [exposure|brightness]^", "push the [exposure|brightness] down^", "turn the [brightness|light|lights] down^", "take light away^", "let less light in", "underexpose {it}^", "make all of it darker", "remove some brightness", "bring down the brightness^", "make the light weaker", "lessen the brightness"),
        be=("~darker", "~darker", "~dimmer", "dark", "very dark", "dimly lit", "darkened", "dimmed", "~less bright", "~less light", "gloomier", "badly lit"),
        thing=(*_little(LIGHT), "less light", "less brightness", "lower [brightness|exposure]", "a lower exposure", "a darker [look|exposure|version|mood]", "dimmer light", "weaker light", "reduced brightness", "a darkening"),
        bad=("~~too bright", "~~too light", "~~overexposed", "[is|looks] [very|rather|quite] bright", "is not dark enough", "has too much light", "is glaring"),
    ),
    "more contrast": Said(
        do=(*_more("contrast"), "increase [the |]contrast^", "raise [the |]contrast^", "boost [the |]contrast^", "push the contrast up^", "turn the contrast up^", "turn up the contrast^", "heighten the contrast^", "strengthen the contrast^", "add contrast^", "make the contrast [higher|bigger|harder|greater]", "make the darks [deeper|blacker] and the lights [whiter|lighter]", "deepen the [darks|shadows] and lift the [lights|highlights]", "spread the tones further apart", "separate light and dark more", "stretch the contrast", "raise the difference between light and dark", "maximise the contrast", "amplify the contrast"),
        be=("~more contrasty", "high contrast", "high in contrast", "~higher in contrast", "~punchier", "contrasty", "~more contrasted", "contrast rich", "full of contrast", "~less flat", "hard in contrast", "with more contrast", "with strong contrast"),
        thing=(*_much("contrast"), "~more contrast", "more contrast", "higher contrast", "stronger contrast", "harder contrast", "a higher contrast", "[a lot|lots|plenty] of contrast", "extra contrast", "increased contrast", "deeper shadows and brighter highlights", "blacker blacks and whiter whites", "a high contrast [look|version]", "more punch in the contrast", "greater contrast"),
        bad=("~~too flat", "has too little contrast", "lacks contrast", "does not have enough contrast", "is low on contrast"),
    ),
    "less contrast": Said(
        do=(*_less("contrast"), "reduce [the |]contrast^", "lower [the |]contrast^", "decrease [the |]contrast^", "drop the contrast^", "bring the contrast down^", "push the contrast down^", "turn the contrast down^", "turn down the contrast^", "weaken the contrast^", "take contrast out^", "make the contrast [lower|smaller|softer|gentler]", "make the darks lighter and the lights darker", "lift the [darks|shadows] and lower the [lights|highlights]", "bring light and dark nearer to each other", "flatten the [tones|picture|contrast]^", "compress the tones", "minimise the contrast", "lessen the contrast"),
        be=("~less contrasty", "low contrast", "low in contrast", "~lower in contrast", "~flatter", "flat", "flat in contrast", "~less contrasted", "poor in contrast", "soft in contrast", "hazy", "with less contrast", "with weak contrast", "with little contrast"),
        thing=(*_little("contrast"), "~less contrast", "less contrast", "lower contrast", "weaker contrast", "softer contrast", "a lower contrast", "little contrast", "reduced contrast", "greyer blacks and greyer whites", "a low contrast [look|version]", "a flat look", "gentler contrast", "a haze over it"),
        bad=("has too much contrast", "has too high a contrast", "~~too contrasty", "~~too harsh in contrast", "is too hard in contrast"),
    ),
    "more saturated": Said(
        do=(*_more(COLOUR), "increase [the |][colour |]saturation^", "raise [the |]saturation^", "boost [the |][saturation|vibrance|colours]^", "push the [saturation|colours] up^", "turn the [saturation|colours] up^", "turn up the [saturation|colours|vibrance]^", "intensify the colours^", "strengthen the colours^", "add saturation^", "saturate {it}^", "saturate the colours^", "make the colours [richer|stronger|bolder|brighter and richer|shine|glow|jump out|stand out|sing]", "make every colour [stronger|richer|more intense]", "enrich the colours^", "liven up the colours", "put more colour into {it}", "maximise the saturation", "amplify the colours"),
        be=("~more colourful", "~more vivid", "~more vibrant", "~more saturated", "colourful", "vivid", "vibrant", "saturated", "highly saturated", "rich in colour", "full of colour", "strong in colour", "super vivid", "very colourful", "oversaturated", "with strong colours", "in vivid colours", "in rich colours"),
        thing=(*_much(COLOUR), "more colour", "more saturation", "~more saturation", "[more vivid|richer|stronger|bolder|more intense|more vibrant|livelier|brilliant|rich] colours", "higher saturation", "extra saturation", "increased saturation", "more vibrance", "colours that pop", "a saturation boost", "a vivid look", "greater colour intensity", "vivid colour"),
        bad=("~~too pale", "~~too dull", "~~too faded in colour", "~~washed out", "has weak colours", "has too little colour", "lacks colour", "lacks saturation", "is not colourful enough"),
    ),
    "less saturated": Said(
        do=(*_less(COLOUR), "reduce [the |][colour |]saturation^", "lower [the |]saturation^", "decrease [the |]saturation^", "drop the saturation^", "bring the saturation down^", "push the [saturation|colours] down^", "turn the [saturation|colours] down^", "turn down the [saturation|colours|vibrance]^", "mute the colours^", "tone down the colours^", "tone the colours down^", "weaken the colours^", "soften the colours^", "take colour out of it [a bit|partly|slightly]", "take some saturation out", "desaturate {it} [slightly|a bit|partly|a little|halfway|somewhat]", "make the colours [paler|weaker|calmer|gentler|duller|softer|fainter|more subtle|less strong|less intense]", "halve the colour strength", "subdue the colours", "minimise the vividness"),
        be=("~less colourful", "~less vivid", "~less vibrant", "~less saturated", "muted", "pale", "~paler", "~paler in colour", "pastel", "weak in colour", "poor in colour", "subdued", "desaturated [a bit|a little|slightly|partly]", "low in saturation", "with muted colours", "in pastel colours", "in pale colours", "with faint colours"),
        thing=(*_little(COLOUR), "less colour", "less saturation", "~less saturation", "[less vivid|weaker|softer|paler|muted|subdued|calmer|pastel|faint|less intense|gentle|subtle] colours", "lower saturation", "reduced saturation", "less vibrance", "a pastel [look|palette]", "a muted [look|palette]", "lower colour intensity"),
        bad=("~~too colourful", "~~too vivid", "~~too saturated", "~~too garish", "has too strong colours", "has too much colour", "is oversaturated", "has screaming colours"),
    ),
    "warmer": Said(
        do=(*_more(WARMTH), "warm {it} up^", "warm up the [colours|tones|light]^", "warm the [colours|tones|light]^", "increase the [warmth|colour temperature]^", "raise the [warmth|temperature]^", "push the [colours|white balance|temperature] towards [warm|warmer]", "shift {it} to warm[er|] tones", "set a warmer white balance", "add warmth^", "make the light [warmer|golden|sunnier]", "make the tones warmer", "make the colours warmer", "turn the temperature up^", "bring in warm light", "put {it} in warm light"),
        be=("~warmer", "~warmer", "warm", "warm toned", "warm in tone", "~warmer in tone", "sunny", "~sunnier", "golden", "cosy and warm", "warmly lit", "in warm light", "in warm colours", "in golden light", "in warm tones", "bathed in warm light"),
        thing=(*_much(WARMTH), "more warmth", "warmth", "a warm [look|tone|light|feel|filter|mood|white balance|colour temperature]", "a warmer [look|tone|light|feel|colour temperature|mood]", "warm [light|colours|tones]", "warmer [light|colours|tones]", "golden light", "sunny light", "sunset warmth", "a golden hour [look|feel]", "evening sun"),
        bad=("~~too cold", "~~too cool", "~~too chilly in tone", "has too cold colours", "has a cold cast"),
    ),
    "cooler": Said(
        do=(*_less(WARMTH), "cool {it} down^", "cool down the [colours|tones|light]^", "cool the [colours|tones|light]^", "decrease the [warmth|colour temperature]^", "lower the [warmth|temperature]^", "push the [colours|white balance|temperature] towards [cold|colder|cool]", "shift {it} to [cool|cold|cooler] tones", "set a [cooler|colder] white balance", "take the warmth out^", "make the light [cooler|colder|icy]", "make the tones [cooler|colder]", "make the colours [cooler|colder]", "turn the temperature down^", "bring in cold light", "put {it} in cold light"),
        be=("~cooler", "~colder", "cool", "cold", "cool toned", "cold in tone", "~cooler in tone", "icy", "frosty", "wintry", "chilly", "coldly lit", "in cold light", "in cool colours", "in icy light", "in cool tones", "bathed in cold light"),
        thing=(*_little(WARMTH), "less warmth", "coldness", "a [cool|cold] [look|tone|light|feel|filter|mood|white balance|colour temperature]", "a [cooler|colder] [look|tone|light|feel|colour temperature|mood]", "[cool|cold] [light|colours|tones]", "[cooler|colder] [light|colours|tones]", "icy light", "winter light", "arctic cold", "a winter [look|feel]", "frost"),
        bad=("~~too warm", "~~too hot", "~~too yellowish", "has too warm colours", "has a warm cast"),
    ),
    **{
        f"tint {name}": Said(
            do=(f"tint {{it}} [{words}]", f"tint everything [{words}]", f"colour {{it}} [{words}]", f"dye {{it}} [{words}]", f"tone {{it}} [{words}]", f"stain {{it}} [{words}]", f"shade {{it}} [{words}]", f"paint everything [{words}]", f"turn {{it}} [{words}]", f"turn everything [{words}]", f"make {{it}} more [{words}]", f"wash {{it}} [in|with] [{words}]", f"overlay {{it}} with [{words}]", f"cover {{it}} with a [transparent |]{name} layer", f"shift the colours to [{words}]", f"let {{it}} glow [{words}]", f"lay a {name} [film|foil|glass|veil] over {{it}}", f"dip {{it}} in {name}", f"light {{it}} in {name}", f"give everything a {name} hue", f"mix some {name} into {{it}}"),
            be=(name, f"[{words}]", f"[{words}]", f"all {name}", f"~more {name}", f"tinted {name}", f"{name} tinted", f"{name}-tinted", f"{name} toned", f"in {name}", f"in {name} light", f"in {name} tones", f"covered in {name}", f"with a {name} tint", f"bathed in {name} light", f"entirely {name}", f"under {name} light", f"{name} everywhere"),
            thing=(f"a [{words}] [tint|cast|filter|overlay|tone|hue|glow|wash|shade|look|colour|veil]", f"a [strong|slight|light|soft|subtle|heavy] {name} [tint|cast|filter|overlay|tone|hue]", f"some {name}", f"more {name}", f"{name} light", f"{name} lighting", f"a layer of {name}", f"a {name} colour filter", f"a tint of {name}", f"a {name} mood", f"[{words}] colours", f"{name} tones"),
        )
        for name, words in {
            "red": "red|red|reddish|crimson|scarlet|ruby red|dark red|cherry red|blood red",
            "green": "green|green|greenish|emerald|lime|forest green|grass green|dark green|mint green",
            "blue": "blue|blue|bluish|navy|azure|royal blue|dark blue|sky blue|ocean blue",
            "purple": "purple|purple|purplish|violet|lilac|lavender|mauve|plum|dark purple",
            "orange": "orange|orange|orangish|amber|tangerine|orangey|dark orange|pumpkin orange|bright orange",
        }.items()
    },
    "vintage": Said(
        do=("age {it}", "make {it} look [old|aged|vintage|retro|faded]", "make {it} seem old", "turn {it} into [a vintage photo|an old photo|a retro photo|a polaroid|a faded print]", "fade {it} like an old [print|photo|photograph]", "take {it} back to the [60s|70s|seventies|sixties|past]", "make {it} look [decades|many years|forty years|50 years] old", "give {it} the patina of an old photo", "let {it} look like old film", "make it look like something [from|out of] the [60s|70s|seventies|past]", "let it fade like old film"),
        be=("vintage", "retro", "old", "old fashioned", "aged", "faded", "nostalgic", "vintage looking", "retro looking", "like an old photo", "like an old photograph", "like an old polaroid", "like a faded print", "like old film", "like a picture from the [60s|70s|seventies|sixties|past]", "as an old photo", "from another decade", "in vintage style", "in a retro style", "decades old", "like an analog photo"),
        thing=("a vintage [look|style|feel|filter|effect|mood|touch|tone]", "a retro [look|style|feel|filter|effect|mood|touch]", "an old [photo|film|camera|print] [look|style|feel|effect]", "a faded [look|film look|print look]", "a nostalgic [look|feel|mood]", "a polaroid [look|style|effect]", "a [60s|70s|seventies|sixties] [look|style|feel|photo look]", "the look of old film", "the look of an old photo", "an aged look", "an analog film look", "faded colours like an old print"),
        bad=("~~too modern", "looks too new"),
    ),
    "night": Said(
        do=("turn {it} into [a night scene|night|nighttime]", "turn day [in|]to night", "make it night", "make {it} look like [night|nighttime|midnight]", "make it look as if it were night", "let it be night", "let night fall", "let it get dark outside, night time", "change the time of day to night", "set the scene at night", "move the scene into the night", "show {it} at night", "show {it} by night", "replace daylight with moonlight", "light {it} [by|with] the moon", "take the sun away and make it night", "let the moon shine instead of the sun"),
        be=("at night", "by night", "night", "nighttime", "nocturnal", "moonlit", "in the night", "in moonlight", "lit by the moon", "in the dark of night", "like at night", "like night", "as a night scene", "late at night", "taken at night", "as if taken at night", "after sunset, at night", "at midnight"),
        thing=("a night [look|scene|mood|version|feel|filter|effect|atmosphere|setting]", "a nighttime [look|scene|mood|version|feel|filter]", "moonlight", "a moonlit [look|scene|mood]", "nighttime", "night lighting", "midnight [light|mood|atmosphere]", "a day for night [effect|look]", "the same at night", "a night sky mood"),
    ),
    "swap red and blue": Said(
        do=("swap [red and blue|blue and red|the reds and blues]", "swap red [for|with] blue", "swap [the |]red and [the |]blue channels", "exchange red and blue", "exchange the red and blue channels", "interchange [red and blue|the red and the blue channel]", "let red and blue change places", "turn red into blue and blue into red", "make red things blue and blue things red", "make [all |]the reds blue and [all |]the blues red", "convert {it} from rgb to bgr", "change [rgb to bgr|the channel order to bgr]", "reverse the channel order", "replace red by blue and blue by red", "put the blue channel where the red one is and the other way around", "swap r and b", "exchange r and b", "change red to blue and vice versa"),
        be=("bgr", "with red and blue [swapped|exchanged|interchanged|switched]", "with swapped red and blue", "red and blue swapped", "in bgr", "with blue for red and red for blue", "with the red and blue channels [swapped|exchanged|switched]", "blue where it was red and red where it was blue", "with the r and b channels swapped"),
        thing=("swapped red and blue", "red and blue swapped", "red and blue exchanged", "a red blue swap", "a red/blue swap", "a red and blue channel swap", "bgr channel order", "swapped r and b channels", "a swap of red and blue", "a channel swap, red and blue"),
    ),
    "blur": Said(
        do=(*_more(SOFTNESS), *_less(DETAIL), "blur {it}^", "blur all of {it}^", "blur {it} out^", "defocus {it}^", "soften {it}^", "smooth {it}^", "unsharpen {it}^", "put {it} out of focus", "throw {it} out of focus", "make {it} lose its sharpness", "reduce the sharpness^", "remove the [sharpness|fine details|details]", "take away the detail", "make everything soft", "make everything blurry", "wipe out the details", "apply blur^", "smear {it}^", "make the edges soft", "let the details [vanish|melt away]", "make it hard to see the details"),
        be=("blurry", "~blurrier", "blurred", "~more blurred", "out of focus", "unfocused", "defocused", "unsharp", "~less sharp", "~softer", "soft", "fuzzy", "smoothed", "smooth", "in soft focus", "without sharp edges", "without fine details", "softly blurred"),
        thing=(*_much(SOFTNESS), *_little(DETAIL), "blur", "a blur", "some blur", "more blur", "a gaussian blur", "a soft blur", "a [slight|strong|light|gentle] blur", "a blur [effect|filter|look]", "a blurry look", "soft focus", "a soft focus [effect|look]", "less sharpness", "less detail", "fewer details", "softness", "soft edges", "a smoothing filter"),
        bad=("~~too sharp", "~~too crisp", "has too much detail", "is too detailed"),
    ),
    "mirror": Said(
        do=("mirror {it}", "mirror {it} [horizontally|sideways|left and right|left to right]", "flip {it} [horizontally|sideways|left to right|left and right]", "flip {it} from left to right", "flip {it} from right to left", "flip left and right", "swap left and right", "exchange the left and the right side", "reverse {it} [horizontally|sideways|left to right]", "reverse left and right", "turn {it} into its mirror image", "make a mirror image of {it}", "show {it} in a mirror", "show the mirror image", "reflect {it} [horizontally|sideways]", "make what is on the left be on the right", "let left and right change places", "make {it} [look|face] [to the other side|the opposite way|in the other direction]", "do a horizontal flip", "apply a horizontal mirror", "put the left side on the right and the right side on the left"),
        be=("mirrored", "mirrored [horizontally|sideways|left to right]", "flipped [horizontally|sideways|left to right]", "horizontally flipped", "horizontally mirrored", "mirror inverted", "laterally reversed", "reversed left to right", "left-right flipped", "like in a mirror", "as in a mirror", "seen in a mirror", "as its mirror image", "with left and right swapped", "with left and right exchanged", "reflected sideways", "facing the other way", "turned left to right"),
        thing=("a mirror image", "its mirror image", "a horizontal flip", "a horizontal mirror", "a horizontal mirror effect", "a mirrored [version|copy|picture]", "a sideways flip", "a left to right flip", "left and right swapped", "left and right exchanged", "a left-right mirror", "a horizontally flipped version", "a lateral reversal"),
        bad=("is the wrong way round, left and right", "faces the wrong way", "[has|shows] left and right mixed up"),
    ),
    "upside down": Said(
        do=("turn {it} upside down", "flip {it} upside down", "put {it} upside down", "hang {it} upside down", "show {it} upside down", "flip {it} [vertically|top to bottom|from top to bottom|from bottom to top]", "mirror {it} [vertically|top to bottom|from top to bottom]", "reverse {it} [vertically|top to bottom]", "flip top and bottom", "swap top and bottom", "exchange the top and the bottom", "stand {it} on its head", "put {it} on its head", "turn {it} head down", "turn {it} over, top to bottom", "make the top the bottom and the bottom the top", "let top and bottom change places", "do a vertical flip", "apply a vertical mirror", "reflect {it} vertically", "put the bottom at the top and the top at the bottom", "make what is up be down"),
        be=("upside down", "upside-down", "upside down", "flipped upside down", "flipped vertically", "vertically flipped", "vertically mirrored", "mirrored vertically", "mirrored top to bottom", "flipped top to bottom", "standing on its head", "on its head", "head down", "with top and bottom swapped", "with top and bottom exchanged", "hanging upside down", "bottom up", "reversed top to bottom", "reflected like in water"),
        thing=("a vertical flip", "a vertical mirror", "a vertical mirror effect", "an upside down [version|view|copy|picture]", "a top to bottom flip", "top and bottom swapped", "top and bottom exchanged", "a top-bottom mirror", "a vertically flipped version", "the bottom at the top", "a headstand"),
        bad=("is the wrong way up, top and bottom", "[has|shows] top and bottom mixed up"),
    ),
    "half turn": Said(
        do=("rotate {it} [180|180 degrees|by 180 degrees|180°|by 180|by half a turn|half a turn|halfway|halfway round|through 180 degrees]", "turn {it} [180 degrees|by 180 degrees|180°|by 180|by half a turn|half a turn|halfway round|around 180 degrees|through 180 degrees]", "spin {it} [180 degrees|by 180 degrees|180°|by half a turn|half a turn|halfway round|around 180 degrees]", "rotate {it} around by [180 degrees|half a turn]", "give {it} half a turn", "rotate {it} by a half rotation", "do a 180 degree rotation", "apply a rotation of 180 degrees", "make a half turn", "pivot {it} by 180 degrees", "rotate {it} 90 degrees twice", "turn {it} 90 degrees two times", "rotate {it} by one hundred and eighty degrees", "turn {it} half a circle", "rotate {it} half way", "swing {it} round by 180 degrees"),
        be=("rotated [180|180 degrees|by 180 degrees|180°|by 180|half a turn|by half a turn|halfway]", "turned [180 degrees|by 180 degrees|180°|half a turn|by half a turn|halfway round]", "spun [180 degrees|by 180 degrees|half a turn|halfway round]", "rotated through 180 degrees", "turned around by 180 degrees", "rotated by 180", "180 degrees rotated", "180° turned", "turned through half a circle", "rotated two quarter turns"),
        thing=("a half turn", "half a turn", "a 180 degree [rotation|turn|spin]", "a 180° [rotation|turn|spin]", "a 180 [rotation|turn|spin]", "a rotation [of|by] 180 degrees", "a rotation [of|by] 180°", "half a rotation", "a turn of 180 degrees", "a rotation by half a turn", "180 degrees of rotation", "two quarter turns"),
        bad=("needs a turn of 180 degrees", "was taken with the camera turned by 180 degrees"),
    ),
    "symmetric": Said(
        do=("make {it} [symmetric|symmetrical|perfectly symmetrical|mirror symmetric|left-right symmetric]", "make the two halves [equal|mirror images|match|symmetrical]", "make left and right [equal|alike|mirror each other|match]", "mirror the left [half|side|part] [to|onto|over|into] the right", "copy the left [half|side|part] mirrored [to|onto|over] the right", "reflect the left [half|side|part] onto the right", "fold the left half over to the right", "replace the right [half|side] with the mirrored left", "let the right [half|side] [be|become] the mirror image of the left", "use the left half for both sides", "create symmetry", "symmetrise {it}", "make the right half equal to the mirrored left half", "repeat the left half mirrored on the right", "make a symmetrical picture of {it}"),
        be=("symmetric", "symmetrical", "perfectly symmetric", "perfectly symmetrical", "mirror symmetric", "mirror symmetrical", "left-right symmetric", "symmetric left and right", "symmetrical about the middle", "the same on both sides", "equal on both sides", "symmetric along the vertical axis", "with matching halves", "with both halves alike", "like a kaleidoscope"),
        thing=("symmetry", "perfect symmetry", "left-right symmetry", "mirror symmetry", "bilateral symmetry", "a symmetry [effect|filter]", "a kaleidoscope [effect|look]", "a symmetrical [version|look|picture]", "a symmetric [version|look|picture]", "matching halves", "two equal halves", "two mirrored halves", "the left half mirrored on the right"),
        bad=("is not symmetric", "is not symmetrical enough"),
    ),
    "blend": Said(
        do=("[blend|mix|merge|fuse|average] {1} [and|with] {2}", "[blend|mix|merge|fuse|average] [them|both|the two|both of them|the two of them]^", "[blend|mix|merge|fuse|average] [both|the two|these two|my two|the] [photos|pictures|images|pics|shots]", "[overlay|superimpose] [them|both|the two photos|both images|the pictures]", "[overlay|superimpose] {1} [on|with] {2}", "lay {1} half transparent over {2}", "put {2} over {1} at half opacity", "make a double exposure [of both|of the two|of {1} and {2}|from them]", "let {1} shine through {2}", "let the two [photos|pictures|images] melt into each other", "[crossfade|dissolve] [the two|both|{1} into {2}]", "mix {1} and {2} half and half", "make one picture out of both by mixing them", "take the average of [both|the two|{1} and {2}]", "blend {1} into {2}"),
        be=("blended", "mixed", "merged", "averaged", "blended together", "mixed together", "blended into one", "mixed into one picture", "merged into one", "superimposed", "laid over each other", "overlaid half transparent", "as a double exposure", "double exposed", "crossfaded", "averaged together", "half and half mixed"),
        thing=("a blend [of both|of the two|of {1} and {2}|of the two images]", "a mix [of both|of the two|of {1} and {2}|of the two photos]", "a [50/50|fifty fifty|half and half|even|equal] [mix|blend]", "a double exposure", "a double exposure [of both|of {1} and {2}|of the two]", "an average [of both|of the two|of {1} and {2}]", "a crossfade", "a crossfade of both", "an overlay of [both|the two|{1} and {2}]", "a superimposition of both", "both pictures in one, transparent", "a merge of both photos"),
    ),
    **{
        name: Said(
            do=(
                f"[put|place|set|show|have] {{{a}}} [on|at|to] the left and {{{b}}} [on|at|to] the right", f"[put|place|set|show|have] {{{b}}} [on|at|to] the right and {{{a}}} [on|at|to] the left", f"[put|place|set|show] {{{a}}} left and {{{b}}} right", f"[put|place|set|arrange] {{{a}}} [to the left of|left of] {{{b}}}", f"[put|place|set|arrange] {{{b}}} [to the right of|right of] {{{a}}}",
                f"[use|take] {{{a}}} for the left [half|side|part] and {{{b}}} for the right[| half| side| one]", f"[use|take] {{{b}}} for the right [half|side|part] and {{{a}}} for the left[| half| side| one]", f"fill the left [half|side] with {{{a}}} and the right[| half| side| one] with {{{b}}}", f"fill the right [half|side] with {{{b}}} and the left[| half| side| one] with {{{a}}}", f"make the left [half|side] {{{a}}} and the right[| half| side| one] {{{b}}}",
                f"[join|combine|stitch|merge] them side by side, {{{a}}} [left|on the left|first]", f"[put|place|arrange|show] them side by side, {{{b}}} [right|on the right]", f"[put|place|arrange|show] them side by side with {{{a}}} on the left", f"[put|place|arrange|show] both [next to each other|beside each other|side by side], {{{a}}} on the left", f"start with {{{a}}} on the left and end with {{{b}}} on the right",
                f"show the left half of {{{a}}} [beside|next to] the right half of {{{b}}}", f"cut both in half and keep the left of {{{a}}} and the right of {{{b}}}", f"let {{{a}}} [take|fill|be] the left [half|side] and {{{b}}} the right[| half| side| one]", f"move {{{a}}} to the left side and {{{b}}} to the right side",
            ),
            be=(
                f"{{{a}}} left, {{{b}}} right", f"{{{a}}} left and {{{b}}} right", f"{{{b}}} right, {{{a}}} left", f"{{{a}}} on the left, {{{b}}} on the right", f"{{{b}}} on the right, {{{a}}} on the left", f"{{{a}}} [to the left of|left of] {{{b}}}", f"{{{b}}} [to the right of|right of] {{{a}}}", f"side by side, {{{a}}} [left|on the left]", f"side by side, {{{b}}} [right|on the right]", f"side by side with {{{a}}} on the left",
                f"side by side with {{{b}}} on the right", f"half {{{a}}} on the left, half {{{b}}} on the right", f"{{{a}}} in the left half and {{{b}}} in the right[| half| one]", f"left {{{a}}}, right {{{b}}}", f"on the left {{{a}}}, on the right {{{b}}}", f"on the right {{{b}}}, on the left {{{a}}}", f"{{{a}}} - {{{b}}}", f"{{{a}}}, then {{{b}}}, from left to right",
            ),
            thing=(
                f"{{{a}}} on the left and {{{b}}} on the right", f"{{{b}}} on the right and {{{a}}} on the left", f"a [split screen|split view|collage|comparison], {{{a}}} left, {{{b}}} right", f"a [split screen|split view|collage|comparison] with {{{a}}} on the left and {{{b}}} on the right", f"a [split screen|side by side] with {{{b}}} on the right", f"a picture whose left half is {{{a}}} and whose right half is {{{b}}}", f"{{{a}}} in the left half, {{{b}}} in the right half", f"a side by side picture, {{{a}}} first, {{{b}}} second" if a == 1 else f"a side by side picture that begins with {{{a}}}",
            ),
        )
        for name, a, b in (("first left, second right", 1, 2), ("second left, first right", 2, 1))
    },
    **{
        name: Said(
            do=(
                f"[put|place|set|show|have] {{{a}}} [on|at the] top and {{{b}}} [at the bottom|below|underneath|on the bottom]", f"[put|place|set|show|have] {{{b}}} [at the bottom|below|underneath|on the bottom] and {{{a}}} [on|at the] top", f"[put|place|set|stack|arrange] {{{a}}} [above|over|on top of] {{{b}}}", f"[put|place|set|arrange] {{{b}}} [below|under|beneath|underneath] {{{a}}}", f"[use|take] {{{a}}} for the [top|upper] [half|part] and {{{b}}} for the [bottom|lower][| half| part| one]",
                f"[use|take] {{{b}}} for the [bottom|lower] [half|part] and {{{a}}} for the [top|upper][| half| part| one]", f"fill the [top|upper] half with {{{a}}} and the [bottom|lower][| half| one] with {{{b}}}", f"fill the [bottom|lower] half with {{{b}}} and the [top|upper][| half| one] with {{{a}}}", f"make the [top|upper] half {{{a}}} and the [bottom|lower][| half| one] {{{b}}}", f"[stack|pile|arrange] them, {{{a}}} [on top|at the top|above|first]",
                f"[stack|pile|arrange] them, {{{b}}} [at the bottom|below|underneath]", f"stack both with {{{a}}} on top", f"stack them vertically, {{{a}}} above, {{{b}}} below", f"show the top half of {{{a}}} above the bottom half of {{{b}}}", f"cut both across and keep the top of {{{a}}} and the bottom of {{{b}}}", f"let {{{a}}} [take|fill|be] the [top|upper] half and {{{b}}} the [bottom|lower][| half| one]", f"move {{{a}}} to the top and {{{b}}} to the bottom",
                f"arrange them vertically with {{{a}}} on top",
            ),
            be=(
                f"{{{a}}} top, {{{b}}} bottom", f"{{{a}}} on top, {{{b}}} [below|underneath|at the bottom]", f"{{{a}}} on top and {{{b}}} [below|underneath|at the bottom]", f"{{{b}}} at the bottom, {{{a}}} on top", f"{{{a}}} above {{{b}}}", f"{{{a}}} over {{{b}}}", f"{{{a}}} on top of {{{b}}}", f"{{{b}}} [below|under|beneath|underneath] {{{a}}}", f"stacked with {{{a}}} on top", f"stacked with {{{b}}} at the bottom", f"stacked, {{{a}}} on top",
                f"{{{a}}} in the [upper|top] half and {{{b}}} in the [lower|bottom][| half| one]", f"top {{{a}}}, bottom {{{b}}}", f"above {{{a}}}, below {{{b}}}", f"at the top {{{a}}}, at the bottom {{{b}}}", f"at the bottom {{{b}}}, at the top {{{a}}}", f"{{{a}}}, then {{{b}}}, from top to bottom", f"one above the other with {{{a}}} on top",
            ),
            thing=(
                f"{{{a}}} on top and {{{b}}} [below|underneath|at the bottom]", f"{{{b}}} at the bottom and {{{a}}} on top", f"a [vertical stack|vertical collage|vertical split|stack], {{{a}}} above, {{{b}}} below", f"a [vertical stack|vertical collage|vertical split|stack] with {{{a}}} on top", f"a [vertical stack|vertical collage|stack] with {{{b}}} at the bottom", f"a picture whose top half is {{{a}}} and whose bottom half is {{{b}}}", f"{{{a}}} in the [upper|top] half, {{{b}}} in the [lower|bottom] half",
            ),
        )
        for name, a, b in (("first above, second below", 1, 2), ("second above, first below", 2, 1))
    },
}  # fmt: skip

# Two edits in one sentence. `{a}` and `{b}` are any phrasings of the two in either order; the other
# gaps are of a kind: `look_be` what the look makes of the picture, `do` the arrangement told.
JOINED: tuple[str, ...] = (
    "{a} after {b_doing}", "after {b_doing}, {a}", "{a} before {b_doing}", "before {b_doing}, {a}", "{a}, but before that {b}", "besides {a_doing}, {b}", "in addition to {a_doing}, {b}", "apart from {a_doing} you should {b}", "{a}, {b} as well", "{a} / {b}", "{a} - {b}", "{a} -> {b}", "{a} + then {b}",
    "{a} & then {b}", "{a}; then {b}", "{a} and {b} in one go", "{a} and {b} together", "{a}, and {b} afterwards", "step 1: {a}, step 2: {b}", "first: {a}, second: {b}", "{a}. And {b}", "{a}. And then {b}", "please {a}. Please {b}", "i want two things: {a} and {b}", "combine two edits: {a}; {b}", "{a}, when that is done {b}",
    "{a} and, when you are at it, {b}", "{a}, plus {b}", "not only {a}, {b} too", "{a} and {b} both", "{a}... and {b}", "{a}, {b}, that's all", "{a} {b}", "{a}! {b}!", "{a}, {b}", "{a} and {b}", "{a} and {b}", "{a} and then {b}", "{a}, then {b}", "{a}, and {b}", "{a} and also {b}",
    "{do} with {look_thing}", "{do}, with {look_thing}", "{do} and give it {look_thing}", "{do} and add {look_thing}", "{do} and make it {look_be}", "{do} and make the [result|whole|whole thing|outcome] {look_be}", "{do}, {look_be}", "{do}, all {look_be}", "{do}, and it should be {look_be}", "{do}, everything {look_be}", "{do} but make it {look_be}", "{do}, make them {look_be}",
    "{be}, {look_be}", "{be} and {look_be}", "{look_be} and {be}", "{look_be}, {be}", "{look_be} + {be}", "{be} + {look_be}", "{be} & {look_be}", "{look_be} but {be}", "{be}, also {look_be}", "{look_be}, also {be}", "make {it} {be} and {look_be}", "make {it} {look_be} and {be}", "make {it} {look_be}, {be}", "{be} with {look_thing}", "{look_thing}, {be}", "{look_thing} and {be}", "{be}, with {look_thing}",
    "i want {it} {be} and {look_be}", "i want {it} {look_be} and {be}", "{it} should be {look_be} and {be}", "{it} should be {be}, and {look_be} too", "[a|the] {look_be} version, {be}", "{be} and everything {look_be}", "{be}, then {look_do}", "{look_do} and {be}", "{look_doing}, {doing}", "{doing} and {look_doing}",
    "{thing} and {look_thing}", "{look_thing} and {thing}", "{thing} with {look_thing}", "{thing}, {look_be}", "{thing} in one, {look_be}", "{look_thing} plus {thing}", "{thing} + {look_thing}", "{thing}, then {look_do}", "{look_do}, then {thing}", "{look_do} + {do}", "{do} & {look_do}", "once {look_be}, {do}", "the {look_be} [photo|picture|result] {be}",
)  # fmt: skip

DOUBLED = frozenset(
    ("put", "flip", "cut", "swap", "drop", "set", "get", "spin", "dim", "strip", "blur", "dip", "let", "up", "step")
)  # fmt: skip
"""Verbs whose last letter is doubled in the participle."""

_SHARE = {"do": 4, "be": 3, "thing": 3, "bad": 1}
_GAP = re.compile(r"\{(do|doing|be|thing|bad)\}")
_JOINED_GAP = re.compile(r"\{(look_)?(do|doing|be|thing)\}")
_FIRST_CHOICE = re.compile(r"\[([^\]]*)\]")


def framed(name: str, rng: random.Random) -> str:
    """A pattern, choices and `{it}` yet to be made, that asks for the edit called `name`."""
    said = SAID[name]
    kinds = [kind for kind in FRAMES if getattr(said, kind)]
    frame = rng.choice(FRAMES[rng.choices(kinds, [_SHARE[kind] for kind in kinds])[0]])
    return _GAP.sub(lambda gap: rng.choice(said.of(gap[1])), frame)


def joined(look: str, arrangement: str, told: Mapping[str, str], rng: random.Random) -> str:
    """As `framed`, for a composition of edits that `told` has a pattern for."""
    text = rng.choice(JOINED)
    first, second = rng.sample((look, arrangement), 2)
    for gap, name in (("a", first), ("b", second)):
        text = text.replace(f"{{{gap}}}", told[name])
        text = text.replace(f"{{{gap}_doing}}", rng.choice(SAID[name].of("doing")))
    return _JOINED_GAP.sub(
        lambda gap: rng.choice(SAID[look if gap[1] else arrangement].of(gap[2])), text
    )


def gerund(phrase: str) -> str:
    """A pattern with its first word, or that of every choice it begins with, as a participle:
    "flip {it}" becomes "flipping {it}".
    """
    choice = _FIRST_CHOICE.match(phrase)
    if choice is None:
        return _participle(phrase)
    words = "|".join(_participle(words) for words in choice[1].split("|"))
    return f"[{words}]{phrase[choice.end() :]}"


def _participle(phrase: str) -> str:
    verb, blank, rest = phrase.partition(" ")
    if verb in DOUBLED:
        verb += verb[-1]
    elif verb.endswith("e") and verb != "dye":
        verb = verb[:-1]
    return f"{verb}ing{blank}{rest}"


def _whole(phrase: str) -> str:
    return (
        phrase.replace("~~too", TOO)
        .replace("~~", "[is|looks] ")
        .replace("~", MUCH)
        .replace("^", SOME)
    )
