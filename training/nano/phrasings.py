"""The vocabulary's words: how people ask for each edit, for training, and hand-written ones held
out for evaluation.

A training phrasing is drawn from a pattern: `[a|b]` is a choice, `{it}` the picture, `{1}` and
`{2}` the first and the second picture of a pair. Patterns are written out here (`PATTERNS`) or put
together by `frames`. `covers` says whether those of `PATTERNS` could have produced a text, and a
corpus leaves out what is held out, so that these phrasings are really new.
"""

# ruff: noqa: E501 (the tables below read best with one pattern group a line)

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping, Sequence
from functools import cache

from training.nano.frames import SAID, framed, joined
from training.nano.typed import TYPED, TYPED_COMPOSITIONS

FRAMED_SHARE = 0.6
"""How many phrasings `frames` puts together; the others are written out."""
JOINED_SHARE = 0.6
"""The same for the joiners of compositions."""
THE_PICTURE = (
    "it", "this", "the photo", "the picture", "the image", "this photo", "this picture", "this image", "my photo",
    "my picture", "the whole thing", "the whole picture", "the whole image", "the shot", "my image", "this pic", "the pic", "my pic",
    "this shot", "that photo", "the entire photo", "the entire image", "all of it", "the scene", "that", "the attached photo", "the given image",
    "the original", "the input image", "my snapshot",
)  # fmt: skip
BOTH_PICTURES = (
    "it", "them", "both", "both images", "both photos", "both pictures", "the result", "the whole thing", "the two", "the combined picture", "the outcome", "all of it", "the final image", "the whole image", "the whole picture",
)  # fmt: skip
PAIRS = (
    ("the first image", "the second image"), ("the first picture", "the second picture"),
    ("the first photo", "the second photo"), ("image 1", "image 2"), ("picture 1", "picture 2"),
    ("photo 1", "photo 2"), ("image one", "image two"), ("the first", "the second"),
    ("the first one", "the second one"), ("picture one", "picture two"), ("photo one", "photo two"),
    ("first image", "second image"), ("first picture", "second picture"),
    ("1", "2"), ("#1", "#2"), ("no. 1", "no. 2"), ("number one", "number two"), ("img 1", "img 2"), ("pic 1", "pic 2"), ("the first pic", "the second pic"), ("first pic", "second pic"), ("first one", "second one"), ("first", "second"),
    ("the 1st image", "the 2nd image"), ("the 1st", "the 2nd"), ("the 1st photo", "the 2nd photo"), ("my first photo", "my second photo"), ("my first picture", "my second picture"), ("the first shot", "the second shot"), ("image #1", "image #2"), ("photo no. 1", "photo no. 2"), ("the first", "the second one"),
    ("the first image", "the second"), ("the first photo", "the other"), ("the first picture", "the other one"), ("the first image", "the other image"), ("the first of them", "the second of them"), ("image1", "image2"), ("one", "two"),
)  # fmt: skip
BEFORE = (
    "", "", "", "", "please ", "can you ", "could you ", "could you please ", "i want you to ", "now ", "just ",
    "i'd like you to ", "let's ", "would you ", "hey, ", "ok, ", "pls ", "plz ", "can u ", "could u ", "hi, ", "hello, ", "would you please ", "can you please ", "kindly ", "so, ", "alright, ", "and now ", "next, ", "well, ", "you need to ", "you must ", "i ask you to ", "hi there, please ",
)  # fmt: skip
AFTER = (
    "", "", "", "", "", " please", ", please", " for me", ", thanks", " now", ".", "!", "?", " pls", " plz", ", thx",
    " thx", " thanks", " thank you", ", thank you", ", ok?", "...", " :)", " asap", " if possible", ", would you?", " today", "!!", " right away",
)  # fmt: skip

PATTERNS: dict[str, tuple[str, ...]] = {
    "black and white": (
        "[make|turn|render|paint|show] {it} [|in |into |to ][black and white|black & white|monochrome|greyscale|grayscale|b&w|grey|gray]",
        "[convert|change|switch|transform] {it} [to|into] [black and white|monochrome|greyscale|grayscale|b&w|a black and white photo|a grayscale image|shades of grey]",
        "[remove|take away|strip|drop|get rid of|delete] [all the|the|all|every|any] [colour|color|colours|colors] [from|in|of|out of] {it}",
        "[remove|take out|strip|drop] [all the|the|all] [colour|color|colours|colors]",
        "[black and white|monochrome|grayscale|greyscale|b&w|b/w] [photo|version|please|picture|image|look|style|filter]",
        "[fully |completely |totally ][desaturate|decolorize|decolourise] {it}",
        "[make|turn] {it} [colourless|colorless|black-and-white|a black and white picture|a monochrome picture]",
        "black and white", "grayscale", "greyscale", "monochrome", "b&w",
        "{it} in [black and white|monochrome|grayscale|greyscale|shades of gray]",
        "[apply|add|use|give {it}] a [black and white|monochrome|grayscale|noir] [filter|effect|look|style]",
        "i want {it} [in black and white|without colour|without any color|in grayscale|with no colour]",
    ),
    "sepia": (
        "[make|turn|render] {it} [|in |into ][sepia|sepia toned|sepia tone|brown and white|sepia colours]",
        "[convert|change|switch|transform] {it} [to|into] [sepia|sepia tone|a sepia photo|sepia tones|brown tones|brown and white]",
        "[apply|add|use|put] [a|some|the] sepia [filter|effect|tone|toning|look|style|tint][| to {it}| on {it}]",
        "give {it} [a|some] [sepia|brownish monochrome|sepia toned|brown antique] [look|tone|effect|feel|style]",
        "sepia", "sepia tone", "sepia [photo|version|picture|effect|filter|style|look|please]",
        "{it} in [sepia|sepia tones|brown tones]", "[tone|wash|colour|color] {it} [in|with] sepia",
        "[make|turn] {it} [look like|into] an [antique|1900s|old western|old brown] [sepia |brown ]photo",
    ),
    "invert": (
        "[invert|reverse|negate|flip] [the|all the|all|its] [colours|colors|colour|color|tones|colors in {it}|colours of {it}|colors of {it}]",
        "[invert|negate] {it}", "[make|turn|convert|change] {it} [into|to] [a|its|a photo|a film|a colour] negative",
        "[make|turn] {it} [negative|a negative|into a negative image|look like a film negative|inverted]",
        "[negative|inverted|photo negative|film negative] [version|image|picture|photo|effect|filter|look|colours|colors]",
        "negative", "invert", "inverted", "[apply|add|use] a[| colour| color] [negative|inversion|invert] [filter|effect]",
        "show [me the|the|a] negative[| of {it}]", "[swap|exchange] [light and dark|black and white|dark and light][| in {it}]",
        "[every|each] [colour|color] [becomes|into|to] its [opposite|complement]", "[replace|swap] [every colour|each color|colours|colors] with [its|the|their] [opposite|complement|opposites]",
    ),
    "brighter": (
        "[make|turn|render] {it} [brighter|lighter|much brighter|a lot brighter|a bit brighter|a little brighter|bright|lighter and brighter|more bright|more luminous]",
        "[brighten|lighten|lighten up|brighten up|illuminate] {it}[| up| a bit| a little| a lot]",
        "[increase|raise|boost|turn up|bump up|up|pump up] [the|its] [brightness|exposure|lightness|luminosity|light][| of {it}| in {it}| a bit| a lot]",
        "[add|give {it}|put] [more|some more|extra|a lot of] [light|brightness|exposure|luminosity][| to {it}| in {it}]",
        "{it} is too [dark|dim|gloomy|underexposed][|, fix that|, brighten it|, lighten it]", "brighter", "lighter", "brighten", "lighten",
        "[brighter|lighter] [version|please|picture|photo|image]", "more [light|brightness|exposure]", "[light|lit] up {it}",
        "i want {it} [brighter|lighter|to be brighter|to be lighter]",
    ),
    "darker": (
        "[make|turn|render] {it} [darker|much darker|a lot darker|a bit darker|a little darker|dark|dimmer|less bright|more dark]",
        "[darken|dim] {it}[| down| a bit| a little| a lot]", "[decrease|reduce|lower|turn down|bring down|cut] [the|its] [brightness|exposure|lightness|luminosity|light][| of {it}| in {it}| a bit| a lot]",
        "[take|remove] [some|away some|some of the|a bit of] [light|brightness][| from {it}| out of {it}]",
        "[less|lower] [light|brightness|exposure]", "{it} is too [bright|light|overexposed|washed with light][|, fix that|, darken it]",
        "darker", "darken", "dim", "dimmer", "[darker|dimmer] [version|please|picture|photo|image]", "[underexpose|shade] {it}",
        "i want {it} [darker|to be darker|dimmer|less bright]", "[give {it}|add] less [light|brightness]",
    ),
    "more contrast": (
        "[increase|raise|boost|turn up|bump up|up|pump up|strengthen|enhance|add to] [the|its|the overall] contrast[| of {it}| in {it}| a bit| a lot]",
        "[add|give {it}|put|use] [more|some|some more|extra|stronger|higher|a lot of|high] contrast[| to {it}| in {it}]",
        "[make|turn|render] {it} [more contrasty|high contrast|contrasty|more contrasted|punchier|punchy|higher in contrast|with more contrast]",
        "[more|stronger|higher|high|harder] contrast[|, please| version| photo| picture| image| look]", "contrasty",
        "[make|get] [the|its] [darks darker and the lights lighter|blacks blacker and the whites whiter|dark parts darker and the bright parts brighter]",
        "[deepen|darken] the [shadows|blacks] and [lift|brighten|boost] the [highlights|whites]", "{it} [is|looks] too [flat|dull in contrast][|, fix the contrast|, add contrast]",
        "[contrast up|crank up the contrast|crank the contrast]", "i want {it} [with more|to have more|with higher] contrast", "intensify the contrast[| of {it}]",
    ),
    "less contrast": (
        "[decrease|reduce|lower|turn down|bring down|cut|weaken|soften|lessen|drop] [the|its|the overall] contrast[| of {it}| in {it}| a bit| a lot]",
        "[use|give {it}] [less|lower|weaker|low|softer] contrast", "[make|turn|render] {it} [less contrasty|low contrast|flatter|flat|lower in contrast|with less contrast|less contrasted|hazy|foggy|misty]",
        "[less|weaker|lower|low|softer] contrast[|, please| version| photo| picture| image| look]", "[flatten|flatten out|even out] [the tones|the contrast|{it}|the tones of {it}]",
        "{it} [is|looks|has] too [contrasty|much contrast|high in contrast][|, fix that|, reduce it]", "contrast down", "[remove|take away|take out] [some|some of the|a bit of] contrast[| from {it}]",
        "i want {it} [with less|to have less|with lower] contrast", "[add|put] [haze|fog|a haze][| to {it}| over {it}]",
    ),
    "more saturated": (
        "[increase|raise|boost|turn up|bump up|up|pump up|enhance] [the|its] [saturation|colour saturation|color saturation|vibrance|vividness|colourfulness][| of {it}| in {it}| a bit| a lot]",
        "[make|turn|render] {it} [more saturated|more colourful|more colorful|more vivid|vivid|more vibrant|vibrant|saturated|colorful|colourful]",
        "[make] [the|its|all the] [colours|colors] [more vivid|more vibrant|pop|stronger|more intense|richer|more saturated|vivid|bolder|pop more]",
        "[boost|intensify|strengthen|enhance|pump up|saturate|enrich|amplify] [the|its|all the] [colours|colors][| of {it}| in {it}| a lot]", "saturate {it}",
        "[more|stronger|richer|intense|higher] [saturation|vibrance|vivid colours|vivid colors|vibrant colors]", "[vivid|vibrant|saturated|intense] [colours|colors]",
        "[add|give {it}] [more|some|some more|extra] [saturation|vibrance|colour|color|vividness][| to {it}]", "vivid", "vibrant", "more colourful", "more colorful", "saturated", "vivid",
        "{it} [is|looks] too [pale|dull|washed out|colourless][|, add colour|, boost the colours|, fix the colors]",
    ),
    "less saturated": (
        "[decrease|reduce|lower|turn down|bring down|cut|tone down] [the|its] [saturation|colour saturation|color saturation|vibrance|vividness][| of {it}| in {it}| a bit| a lot]",
        "[make|turn|render] {it} [less saturated|less colourful|less colorful|less vivid|muted|more muted|less vibrant|paler|pale|pastel]",
        "[make] [the|its|all the] [colours|colors] [less vivid|less vibrant|muted|weaker|less intense|paler|softer|more muted|less saturated|pale|pastel|calmer|duller]",
        "[mute|tone down|soften|weaken|subdue|dull] [the|its|all the] [colours|colors][| of {it}| in {it}| a bit]", "[partly|slightly|partially|half|a bit|somewhat] desaturate {it}",
        "[less|lower|weaker|reduced] [saturation|vibrance|vivid colours|vivid colors]", "[muted|subdued|pastel|paler|softer|weak] [colours|colors|tones|palette|look]", "muted", "desaturate {it} [a bit|a little|slightly|partially|somewhat]",
        "[take|remove] [some|some of the|a bit of|a little] [colour|color|saturation][| from {it}| out of {it}]", "[use|give {it}] [a muted|a pastel|a subdued|a softer|a paler] [palette|colour palette|look]",
        "{it} is too [colourful|colorful|saturated|vivid|vibrant][|, fix that|, tone it down]", "less [colourful|colorful|vivid|vibrant|saturated]",
    ),
    "warmer": (
        "[make|turn|render] {it} [warmer|warm|look warmer|a bit warmer|much warmer|feel warmer|look sunny|golden hour|warmer in tone]",
        "[warm|warm up] {it}[| up| a bit| a little]", "[warm up] the [colours|colors|tones|image|white balance]",
        "[add|give {it}|use] [a|some|more] [warmth|warm tones|warm light|warm colours|warm colors|warm tone|warm look|sunny feel|golden light][| to {it}]",
        "[increase|raise|boost|turn up] the [warmth|colour temperature|color temperature|temperature][| of {it}]", "[warmer|warm] [tones|colours|colors|look|light|white balance|version|please|temperature|temperatures]",
        "warmer", "warm", "more warmth", "[make] the [colours|colors|light|tones] [warmer|warm]", "{it} [is|looks|feels] too [cold|cool|bluish][|, warm it up|, fix that]",
        "[apply|add|use] a [warm|warming] [filter|effect|tone]", "[shift|move|push] the [white balance|colours|colors|temperature] [towards|to] [warm|warmer|warmer tones]",
    ),
    "cooler": (
        "[make|turn|render] {it} [cooler|cool|colder|cold|look colder|look cooler|a bit cooler|much cooler|wintry|icy|look wintry|feel colder]",
        "[cool|cool down|chill] {it}[| down| a bit| a little]", "[cool|cool down] the [colours|colors|tones|white balance]",
        "[add|give {it}|use] [a|some|more] [coldness|cool tones|cold light|cool colours|cool colors|cold tone|cool look|wintry feel|icy look|cold tones][| to {it}]",
        "[decrease|reduce|lower|turn down] the [warmth|colour temperature|color temperature|temperature][| of {it}]", "[cooler|cool|colder|cold|icy] [tones|colours|colors|look|light|white balance|version|please|temperature|temperatures]",
        "cooler", "colder", "cold", "less warmth", "[make] the [colours|colors|light|tones] [cooler|cool|colder|cold]", "{it} [is|looks|feels] too [warm|hot|yellow|sunny][|, cool it down|, fix that]",
        "[apply|add|use] a [cool|cooling|cold] [filter|effect|tone]", "[shift|move|push] the [white balance|colours|colors|temperature] [towards|to] [cool|cold|cooler|colder|cooler tones]",
    ),
    **{
        f"tint {name}": (
            f"[tint|colour|color|tone|wash|dye|shade] {{it}} [{words}]",
            f"[add|apply|put|use] [a|some|a strong|a slight] [{words}] [tint|cast|overlay|tone|filter|wash|hue|glow|veil][| to {{it}}| on {{it}}| over {{it}}]",
            f"give {{it}} [a|some] [{words}] [tint|cast|overlay|tone|filter|hue|look|glow]",
            f"[make|turn|paint|render] {{it}} [{words}|more {name}|look {name}|all {name}|{name} toned|{name} tinted]",
            f"[{words}] [tint|tinted|filter|overlay|colour cast|color cast|hue|tone|wash]", f"tint {{it}} with [{words}]", f"[a|] {name} tint",
            f"[shift|push|move] [the colours|the colors|{{it}}|the hue] [towards|to] [{words}]", f"[bathe|cover|drench|soak] {{it}} in [{words}][| light]", f"{{it}} [in|with a] {name} [light|tint]",
            f"[look|see] [at|] {{it}} through [{words}] glass[es|]",
        )
        for name, words in {
            "red": "red|reddish|crimson|scarlet|ruby",
            "green": "green|greenish|emerald|lime green|forest green",
            "blue": "blue|bluish|navy|azure|sapphire|royal blue",
            "purple": "purple|purplish|violet|magenta purple|lilac|lavender",
            "orange": "orange|orangey|amber|tangerine|orangish",
        }.items()
    },
    "vintage": (
        "[make|turn|render] {it} [vintage|retro|look vintage|look retro|look old|look faded|look aged|old fashioned|old-fashioned|nostalgic|faded|aged|look like an old photo|into an old photo|like a polaroid|look like a polaroid]",
        "[give|lend] {it} [a|some] [vintage|retro|faded|old film|70s|1970s|nostalgic|aged|polaroid|old photo|faded film|analog film] [look|style|feel|effect|vibe|tone]",
        "[apply|add|use|put] a [vintage|retro|faded|old film|70s|nostalgic|aged|polaroid|instagram] [filter|effect|look|style][| to {it}| on {it}]",
        "[vintage|retro|faded|nostalgic|old film|polaroid|70s] [photo|version|picture|effect|filter|style|look|please|film]", "vintage", "retro", "[fade|age] {it}[| like old film| like an old photo]",
        "{it} as [a vintage photo|an old photo|a polaroid|an old film photo|a faded print]", "[make] {it} look like [it is from|it was taken in|something from] the [70s|1970s|seventies|60s|past]", "[fade|age] the [colours|colors]",
    ),
    "night": (
        "[make|turn|render] {it} [night|nighttime|into night|look like night|look like it is night|a night scene|into a night scene|moonlit|nocturnal|into nighttime]",
        "[change|convert|transform|switch] {it} [to|into] [night|nighttime|a night scene|a nighttime scene|the night|a moonlit scene]", "[change|turn|switch] [day|the day|daytime] [into|to] night",
        "[set|put|show|place] {it} [at night|in the night|in moonlight|at midnight|after dark|under the moon]", "[night|nighttime|moonlight|midnight|nocturnal] [scene|version|look|effect|filter|mode|style|mood|photo]",
        "night", "at night", "nighttime", "midnight", "[apply|add|use] a [night|nighttime|moonlight|midnight|day for night] [filter|effect|look]", "day for night", "day to night",
        "[make] {it} look [like night|like it was taken at night|like midnight|as if at night|moonlit|nocturnal]", "give {it} a [night|nighttime|moonlit|midnight] [look|feel|mood|atmosphere]", "[let|make] night fall[| on {it}| over {it}]",
        "what would {it} look like at night",
    ),
    "swap red and blue": (
        "[swap|exchange|switch|interchange|flip] [the|] [red and blue|blue and red|red and the blue|blue and the red][| channels| colours| colors| channel][| of {it}| in {it}]", "[swap|exchange|replace|switch] red [with|and|for] blue[| in {it}]",
        "[swap|exchange|replace|switch] blue [with|and|for] red[| in {it}]", "[turn|make|change] [red into blue and blue into red|red to blue and blue to red|the reds blue and the blues red|blues red and reds blue][| in {it}]", "[rgb to bgr|bgr|bgr order|convert to bgr|convert {it} to bgr]",
        "[swap|switch|exchange] [the|] [r and b|b and r] channels", "[what is|everything] red becomes blue[| and vice versa| and what is blue becomes red]", "[red|blue] [and|/] [blue|red] [swap|swapped|channel swap]",
    ),
    "blur": (
        "[blur|defocus|smooth|soften] {it}[| out| a bit| a little| slightly]", "[make|turn|render] {it} [blurry|blurred|out of focus|unfocused|softer|soft|smooth|smoother|fuzzy|less sharp|blurrier|hazy and blurred]",
        "[add|apply|use|put] [a|some|a slight|a gaussian|more|gaussian] [blur|blurring|blur effect|blur filter|softness|smoothing|soft focus][| to {it}| on {it}| over {it}]", "give {it} [a blur|a soft focus|a blurred look|a blurry look|some blur]",
        "blur", "blurry", "blurred", "gaussian blur", "soft focus", "out of focus", "[blurred|blurry|out of focus|softer|unsharp] [version|photo|picture|image|please]", "[reduce|lower|decrease|remove] the [sharpness|detail|fine detail][| of {it}| in {it}]", "less [sharp|detail|sharpness]",
        "[take|throw] {it} out of focus", "{it} is too sharp[|, blur it|, soften it]", "smooth out [the details|the texture|{it}]", "[soften] [the edges|the details]",
    ),
    "sharpen": (
        "[sharpen|sharpen up|crisp up|deblur|unblur] {it}[| a bit| a little| a lot]", "[make|turn|render] {it} [sharper|sharp|crisp|crisper|more detailed|more sharp|clearer|more crisp|less blurry|in focus|much sharper]",
        "[increase|raise|boost|turn up|enhance|improve] [the|its] [sharpness|detail|details|clarity|crispness|definition|focus][| of {it}| in {it}| a bit| a lot]", "[add|give {it}|apply|use] [more|some|a bit of|extra] [sharpness|sharpening|clarity|detail|crispness|definition][| to {it}]",
        "sharpen", "sharper", "sharp", "crisp", "[sharper|crisper|clearer] [version|photo|picture|image|please|details|edges]", "more [sharpness|clarity|detail|definition]", "{it} is too [blurry|soft|fuzzy|blurred][|, sharpen it|, fix that]", "[apply|use|add] [a|an] [sharpen|sharpening|unsharp mask|clarity] [filter|effect|]",
        "[sharpen|bring out|emphasise|emphasize|enhance] the [edges|details|texture|fine details][| in {it}| of {it}]", "[remove|reduce] the blur[| from {it}]", "unsharp mask", "bring {it} into focus",
    ),
    "vignette": (
        "[add|apply|put|use] [a|some|a dark|a strong|a soft] [vignette|vignetting|vignette effect|vignette filter][| to {it}| on {it}| around {it}]", "[darken|dim|shade|blacken] the [corners|edges|borders|sides and corners|edges and corners|outer edges][| of {it}| in {it}]",
        "[make] the [corners|edges|borders] [darker|dark|black|dimmer][| in {it}]", "vignette", "vignetting", "vignette {it}", "give {it} [a vignette|dark corners|dark edges|a vignette look|shadowy edges|vignetting]", "[dark|darker|black|shadowy] [corners|edges|borders|vignette]",
        "[fade|shade] the [corners|edges] [to black|to dark|into shadow][| in {it}]", "[add|put] [dark|shadowy|darker|black] [corners|edges|borders][| to {it}| around {it}]", "[spotlight|highlight|focus on] the [centre|center|middle][| of {it}]", "[keep|leave] the [centre|center|middle] bright and darken the [rest|edges|corners]",
    ),
    "mirror": (
        "[mirror|reflect] {it}[| horizontally| left to right| left-right| sideways]", "[flip|reverse] {it} [horizontally|left to right|left-right|sideways|from left to right|along the vertical axis|left and right|on the vertical axis|around the vertical axis]",
        "[make|turn] {it} [mirrored|into its mirror image|a mirror image|flipped horizontally|horizontally flipped|into a mirror image]", "[horizontal flip|flip horizontal|flip horizontally|mirror image|mirror|mirrored|horizontally flipped|horizontal mirror|left-right flip|mirror horizontally]", "[show|give] [me |][the|a|its] mirror image[| of {it}]",
        "[swap|exchange|switch] [left and right|the left and right sides|the left and the right|right and left][| in {it}| of {it}]", "[as|like] [seen|] in a mirror", "[apply|do|make] a horizontal [flip|mirror][| of {it}| on {it}]", "[make|let] {it} [face|look] the other way", "{it} [seen|as seen|reflected] in a mirror",
    ),
    "upside down": (
        "[turn|flip|make|put|show|hang] {it} upside[ |-]down", "[flip|mirror|reverse|reflect] {it} [vertically|top to bottom|from top to bottom|along the horizontal axis|on the horizontal axis|around the horizontal axis|top and bottom|up and down|upside down]",
        "[vertical flip|flip vertical|flip vertically|upside down|upside-down|vertically flipped|vertical mirror|top-bottom flip|mirror vertically]", "[make|turn] {it} [flipped vertically|vertically flipped|inverted vertically]", "[swap|exchange|switch] [top and bottom|the top and bottom|up and down|the top and the bottom|bottom and top][| of {it}| in {it}]",
        "[apply|do|make] a vertical [flip|mirror][| of {it}| on {it}]", "[upside down|upside-down|vertically flipped] [version|photo|picture|image|please]", "[reflect|mirror] {it} like [water|in water|in a lake|a puddle]", "[the|put the] [sky|ceiling|top] [at the bottom|down] and the [ground|floor|bottom] [at the top|up]",
    ),
    "half turn": (
        "[rotate|turn|spin|revolve|swivel] {it} [by |][180|180 degrees|180°|one hundred eighty degrees|half a turn|a half turn|halfway around|180 deg|through 180 degrees|half way round|by half a rotation]", "[rotate|turn|spin] [by |]180[| degrees|°]", "[180|180 degree|180 degrees|180°|half] [rotation|turn|spin][| of {it}]",
        "half turn", "half-turn", "half a turn", "[do|make|give {it}|apply] a [180|180 degree|half|180°] [rotation|turn|spin]", "rotate {it} [halfway|half way|half a circle|by half a circle|half a revolution|by pi]", "{it} rotated [by |][180|180 degrees|half a turn|halfway]",
        "[rotate|turn] {it} [twice by 90 degrees|two quarter turns|by two quarter turns|by 90 degrees twice]",
    ),
    "symmetric": (
        "[make|turn|render] {it} [symmetric|symmetrical|perfectly symmetric|left-right symmetric|mirror symmetric|horizontally symmetric|bilaterally symmetric|look symmetrical|into a symmetric image]", "[mirror|reflect|copy] the left [half|side|part] [onto|on|over|to|into] the right[| half| side| part][| of {it}]",
        "[replace|fill|cover] the right [half|side] [with|by] [the mirrored|a mirror image of the|a reflection of the|a flipped copy of the] left[| half| side]", "[add|create|apply|use] [symmetry|a symmetry effect|left-right symmetry|mirror symmetry|a symmetry filter|a kaleidoscope effect|a kaleidoscope][| to {it}| in {it}]", "symmetric", "symmetrical", "symmetry", "kaleidoscope",
        "[symmetric|symmetrical] [version|photo|picture|image|please|effect|look]", "give {it} [symmetry|a symmetrical look|left-right symmetry|mirror symmetry]", "[make] [both|the two] [halves|sides] [match|symmetric|symmetrical|mirror each other|mirror images|the same]", "make the right [half|side] [mirror|match|reflect|a reflection of|a mirror of] the left[| half| side]",
    ),
    "blend": (
        "[blend|mix|merge|average|fuse|overlay|combine|superimpose|melt] {1} [and|with] {2}[| together| evenly| equally| half and half| fifty fifty]", "[blend|mix|merge|average|fuse|superimpose|overlay] [the two|both|the|these|these two|the 2|my two] [images|pictures|photos|shots][| together| evenly| into one| half and half]",
        "[blend|mix|merge|average|superimpose] them[| together| evenly| into one]", "[double exposure|a double exposure|double-exposure|create a double exposure|make a double exposure][| of {1} and {2}| of the two images| from both photos| of both| effect]", "[put|lay|place] {1} [over|on top of] {2} [at half|with 50%|half|with half|at 50 percent|with 50 percent] [opacity|transparency|transparent|see-through]",
        "[overlay|superimpose] {2} [on|onto|over] {1}", "[overlay|superimpose] {1} [on|onto|over] {2}", "[a|the|take the|show the] [blend|mix|average|50/50 mix|50/50 blend|crossfade|cross-fade|half and half mix] of [the two|both|{1} and {2}|both images|the two pictures]", "[crossfade|cross-fade|cross fade|dissolve] [between {1} and {2}|the two images|{1} into {2}|the two photos|both pictures]",
        "blend", "average", "mix both", "fade {1} into {2}",
    ),
    **{
        name: (
            f"[put|place|show|set] {{{a}}} [on|at|to] the left[| side| half] and {{{b}}} [on|at|to] the right[| side| half]",
            f"[put|place|show|set] {{{b}}} [on|at|to] the right[| side| half] and {{{a}}} [on|at|to] the left[| side| half]",
            f"{{{a}}} [on|at] the left[| side| half][,| and|;] {{{b}}} [on|at] the right[| side| half]", f"{{{b}}} [on|at] the right[| side| half][,| and|;] {{{a}}} [on|at] the left[| side| half]", f"[left|left half|left side] from {{{a}}}[,| and] [right|right half|right side] from {{{b}}}",
            f"[use|take|keep] the left [half|side|part] [of|from] {{{a}}} and the right [half|side|part] [of|from] {{{b}}}", f"[use|take|keep] the right [half|side|part] [of|from] {{{b}}} and the left [half|side|part] [of|from] {{{a}}}", f"the left [half|side|part] [of|from|should be|is] {{{a}}}[,| and] the right [half|side|part] [of|from|should be|is] {{{b}}}",
            f"[left|left half|left side][:| is| =| should be] {{{a}}}[,|;| and] [right|right half|right side][:| is| =| should be] {{{b}}}", f"{{{a}}} left[,| and|;] {{{b}}} right", f"[split|split screen|a split screen|split view][| with|:] {{{a}}} [on the|] left and {{{b}}} [on the|] right", f"[join|combine|stitch|glue] the left half of {{{a}}} [with|and|to] the right half of {{{b}}}",
            f"[right|right half|right side][:| is| =] {{{b}}}[,| and|;] [left|left half|left side][:| is| =] {{{a}}}", f"the right [half|side|part] [of|from] {{{b}}} and the left [half|side|part] [of|from] {{{a}}}",
            f"{{{a}}} to the left of {{{b}}}", f"{{{b}}} to the right of {{{a}}}", f"[put|place] {{{a}}} to the left of {{{b}}}", f"[replace|cover] the [{'right' if a == 1 else 'left'}] [half|side] of {{1}} [with|by] [that of |]{{2}}",
            *(
                ("[put|place|show|set] {1} [beside|next to] {2}", "[put|place|show|set] [them|the two|both images|both pictures|the two photos|both] side by side", "side by side", "{1} and {2} side by side", "split screen", "[put|place|show|set] {2} on the right[| side| half]", "[put|place|set] {1} and {2} [side by side|next to each other|beside each other]", "half {1}[,| and] half {2}, side by side")
                if a == 1
                else ("[put|place|show|set] {2} on the left[| side| half]", "[put|place|show|set] {1} on the right[| side| half]", "[side by side|split screen] but [swapped|in reverse order|with the order reversed|the second first]", "[put|place|show|set] [them|the two|both images|both pictures|the two photos] side by side in reverse order", "{2} and then {1} side by side")
            ),
        )
        for name, a, b in (("first left, second right", 1, 2), ("second left, first right", 2, 1))
    },
    **{
        name: (
            f"[put|place|show|set|stack] {{{a}}} [on|at] the top[| half| part] and {{{b}}} [on|at|in] the bottom[| half| part]", f"[put|place|show|set|stack] {{{b}}} [on|at|in] the bottom[| half| part] and {{{a}}} [on|at] the top[| half| part]", f"[put|place|show|set] {{{a}}} [above|over the top of|on top and below it] {{{b}}}", f"[put|place|show|set] {{{b}}} [below|under|beneath|underneath] {{{a}}}",
            f"{{{a}}} [above|on top of|stacked above|stacked on] {{{b}}}", f"{{{b}}} [below|under|beneath|underneath] {{{a}}}", f"stack {{{a}}} [on top of|above|over] {{{b}}}", f"[use|take|keep] the [top|upper] [half|part] [of|from] {{{a}}} and the [bottom|lower] [half|part] [of|from] {{{b}}}", f"[use|take|keep] the [bottom|lower] [half|part] [of|from] {{{b}}} and the [top|upper] [half|part] [of|from] {{{a}}}",
            f"the [top|upper] [half|part] [of|from|should be|is] {{{a}}}[,| and] the [bottom|lower] [half|part] [of|from|should be|is] {{{b}}}", f"[top|top half|upper half] from {{{a}}}[,| and] [bottom|bottom half|lower half] from {{{b}}}", f"[top|top half|upper half][:| is| =| should be] {{{a}}}[,|;| and] [bottom|bottom half|lower half][:| is| =| should be] {{{b}}}", f"{{{a}}} [on|at the|on the] top[,| and|;] {{{b}}} [at the bottom|below|on the bottom|bottom|underneath]", f"{{{b}}} [at the|on the] bottom[,| and|;] {{{a}}} [on top|at the top|above]",
            f"[bottom|bottom half|lower half][:| is| =] {{{b}}}[,| and|;] [top|top half|upper half][:| is| =] {{{a}}}", f"{{{a}}} [goes|comes|is] [above|over] {{{b}}}",
            f"[join|combine|stitch|glue] the [top|upper] half of {{{a}}} [with|and|to] the [bottom|lower] half of {{{b}}}", f"[replace|cover] the [{'bottom|lower' if a == 1 else 'top|upper'}] [half|part] of {{1}} [with|by] [that of |]{{2}}",
            *(
                ("[stack|pile] [them|the two|both images|both pictures|the two photos|both] [vertically|one above the other|on top of each other|top to bottom]", "one above the other", "stacked vertically", "[put|place|show|set] {2} [at the bottom|below|underneath|in the lower half|in the bottom half]", "{1} and {2} [stacked vertically|one above the other|stacked]", "vertical stack")
                if a == 1
                else ("[put|place|show|set] {2} [at the top|on top|above|in the upper half|in the top half]", "[put|place|show|set] {1} [at the bottom|below|underneath|in the lower half]", "[stack|pile] [them|the two|both images|both pictures] [vertically|] in reverse order", "[vertical stack|stacked] but [swapped|in reverse order|with the order reversed]")
            ),
        )
        for name, a, b in (("first above, second below", 1, 2), ("second above, first below", 2, 1))
    },
    "colours of the second": (
        "[take|use|apply|borrow|transfer|copy] the [colours|colors|colour|color|palette|colour palette|color palette|color scheme|tones|mood|colour mood|colour grading|color grading|hue] [of|from] {2}[| for {1}| on {1}| to {1}| onto {1}]", "[give|lend] {1} the [colours|colors|palette|colour palette|color palette|color scheme|tones|mood|colour grading|look] of {2}",
        "[match|adapt|adjust|fit] the [colours|colors|palette|tones|colour|color|white balance] of {1} [to|with|to those of|to match] {2}", "[recolour|recolor|regrade|grade] {1} [like|to match|with the colours of|using|with the palette of|to look like|in the colors of] {2}", "[colour|color] [transfer|match|matching|grade transfer][| from {2}| from {2} to {1}| with {2}]", "make {1} [match the colours of|have the colors of|have the same colours as|the same colors as|look like {2} in colour|use the palette of] {2}",
        "{1} [in|with] the [colours|colors|palette|tones|colour palette] of {2}", "[transfer|copy|apply|move] the [colour|color|palette|mood|colours|colors] [from|of] {2} [to|onto|on] {1}", "[match|transfer] [the |][colours|colors]", "[same|use the same|give it the same] [colours|colors|palette|tones] as {2}", "palette of {2}",
    ),
}  # fmt: skip

HELD_OUT: dict[str, tuple[str, ...]] = {
    "black and white": ("make it B/W", "I'd love to see this as a grayscale shot", "lose the colour, black and white only", "old school black and white photograph please", "convert to grayscale", "Turn this photo into monochrome art", "no colors, just grey tones"),
    "sepia": ("sepia it", "I would like a sepia version of my picture", "make this look like a brown sepia print", "Apply sepia toning here", "classic sepia effect on the photo please", "could we have it sepia-coloured"),
    "invert": ("invert colours please", "I need the negative of this picture", "make a photographic negative", "Show the inverted colors", "colour inversion", "turn this into a negative, like film"),
    "brighter": ("can you make this a good deal brighter?", "more brightness in the photo", "it's too dark, brighten it up", "Let in more light", "increase brightness", "lighten the picture somewhat"),
    "darker": ("can you make this a good deal darker?", "reduce brightness", "tone the brightness down", "it's too bright, make it darker", "darken the picture somewhat", "Less light in this image, please"),
    "more contrast": ("increase contrast", "I think it needs more contrast", "make the contrast stronger", "Crank contrast up a notch", "more contrast between light and dark", "boost contrast strongly"),
    "less contrast": ("decrease contrast", "I think it needs less contrast", "make the contrast weaker", "Dial the contrast down", "a low-contrast version please", "reduce contrast so it looks flat"),
    "more saturated": ("increase saturation", "make colors pop", "I want really vivid colours", "Make this picture super colourful", "the colours should be much more intense", "saturate the colors more"),
    "less saturated": ("decrease saturation", "make it slightly desaturated with muted colors", "I want soft, muted colours", "Tone the colors down", "the colours should be less intense", "a subdued, pastel colour look"),
    "warmer": ("make it feel warm", "I want a warmer colour temperature", "Warm the photo up a touch", "the picture should have warm tones", "make the white balance warmer", "warm colours, like golden sunlight"),
    "cooler": ("make it feel cold", "I want a colder colour temperature", "Cool the photo down a touch", "the picture should have cool tones", "make the white balance cooler", "cold colours, like in winter"),
    "tint red": ("red tint on the photo", "I want it to look reddish", "Make everything red", "a red colour filter over the picture", "tinted in red please", "overlay red"),
    "tint green": ("green tint on the photo", "I want it to look greenish", "Make everything green", "a green colour filter over the picture", "tinted in green please", "overlay green"),
    "tint blue": ("blue tint on the photo", "I want it to look bluish", "Make everything blue", "a blue colour filter over the picture", "tinted in blue please", "overlay blue"),
    "tint purple": ("purple tint on the photo", "I want it to look purple", "Make everything violet", "a purple colour filter over the picture", "tinted in purple please", "overlay purple"),
    "tint orange": ("orange tint on the photo", "I want it to look orange", "Make everything orange", "an orange colour filter over the picture", "tinted in orange please", "overlay orange"),
    "vintage": ("make this photo look like an old faded print", "I'd like a retro feeling", "Vintage style, faded film", "old polaroid look please", "turn it into a retro snapshot", "make it seem decades old, faded"),
    "night": ("make it look like nighttime", "I want this to be a night shot", "Turn the daylight into night", "as if it were midnight", "make the scene happen at night", "bathed in moonlight, as on a dark night"),
    "swap red and blue": ("swap the red channel with the blue channel", "red and blue should trade places", "exchange the red parts with the blue parts", "make reds blue and blues red", "switch the R and B channel", "blue instead of red and red instead of blue"),
    "blur": ("make this image look blurry", "I want it blurred", "Blur the image with a gaussian", "a little blur on the photo please", "soft and out of focus", "blur everything"),
    "sharpen": ("make this image look sharp", "I want it sharpened", "Apply sharpening", "crisper details in the photo please", "sharpen everything", "enhance sharpness"),
    "vignette": ("I'd like a vignette", "make the edges dark and keep the middle bright", "Add vignetting around the picture", "darken around the edges", "the corners should fade to dark", "vignette effect please"),
    "mirror": ("mirror this one horizontally", "flip the photo so left becomes right", "I want the mirror image", "Do a left to right flip", "make it a mirrored version, left becomes right", "horizontal mirror flip of the photo"),
    "upside down": ("turn the whole photo upside down please", "flip the photo so top becomes bottom", "I want it upside down", "Flip the picture on its head, upside-down", "vertical flip of the photo", "make top and bottom swap places"),
    "half turn": ("rotate this around by 180 degrees", "turn the picture by a full 180°", "I want it rotated 180 degrees", "Rotation of 180 degrees", "turn the photo around by 180 degrees", "spin the image around by half a turn"),
    "symmetric": ("I want it symmetrical", "make left and right symmetric", "Mirror the left half over to the right half", "create a symmetrical picture", "let the right side be a reflection of the left side", "left-right symmetry please"),
    "blend": ("blend the two pictures equally", "I want a mix of both images", "Double exposure of the first and second photo", "merge image 1 and image 2 into a single blend", "make an average of both photos", "a 50/50 blend of the pictures"),
    "first left, second right": ("left half shows the first image, right half shows the second image", "I want image 1 on the left and image 2 on the right", "the first picture goes left, the second picture goes right", "Show photo 1 left of photo 2", "put the two images side by side please", "right side from the second photo, left side from the first photo"),
    "second left, first right": ("left half shows the second image, right half shows the first image", "I want image 2 on the left and image 1 on the right", "the second picture goes left, the first picture goes right", "Show photo 2 left of photo 1", "right side from the first photo, left side from the second photo", "picture 2 goes on the left half and picture 1 goes on the right half"),
    "first above, second below": ("top half shows the first image, bottom half shows the second image", "I want image 1 on top and image 2 at the bottom", "let the first picture sit above the second picture", "upper half out of the first photo, lower half out of the second photo", "Put image 1 over the top half, image 2 below", "stack the two pictures vertically"),
    "second above, first below": ("top half shows the second image, bottom half shows the first image", "I want image 2 on top and image 1 at the bottom", "let the second picture sit above the first picture", "upper half out of the second photo, lower half out of the first photo", "Put image 2 in the top half, image 1 below", "stack picture 2 on top of picture 1 vertically please"),
    "colours of the second": ("use the second image's colours on the first", "I want the first photo in the colours of the second photo", "recolour image 1 so that it matches image 2", "Transfer all the colors from picture 2 over to picture 1", "match the first picture's colours to the second picture", "apply the mood and colours of the second picture"),
}  # fmt: skip

EXAMPLES: dict[str, str] = {
    "black and white": "make it black and white", "sepia": "turn it into a sepia photo", "invert": "invert the colours", "brighter": "make it brighter", "darker": "make it darker", "more contrast": "increase the contrast",
    "less contrast": "reduce the contrast", "more saturated": "make the colours more vivid", "less saturated": "mute the colours", "warmer": "make it warmer", "cooler": "make it cooler", "tint red": "give it a red tint", "tint green": "give it a green tint",
    "tint blue": "give it a blue tint", "tint purple": "give it a purple tint", "tint orange": "give it an orange tint", "vintage": "make it look vintage", "night": "make it look like night", "swap red and blue": "swap the red and blue channels",
    "blur": "blur it", "sharpen": "sharpen it", "vignette": "add a vignette", "mirror": "mirror it", "upside down": "turn it upside down", "half turn": "rotate it 180 degrees", "symmetric": "make it symmetric",
    "blend": "blend the two images", "first left, second right": "put the first image on the left and the second image on the right", "second left, first right": "put the second image on the left and the first image on the right",
    "first above, second below": "put the first image on the top and the second image at the bottom", "second above, first below": "put the second image on the top and the first image at the bottom", "colours of the second": "use the colours of the second image",
}  # fmt: skip

# Two edits in one sentence: `{a}` and `{b}` are phrasings of the two in either order, `{place}` one
# of the arrangement, `{in}` a look as people append it, `{as}` a look and `{so}` an arrangement as
# adjectives.
JOINERS = (
    "{a} and {b}", "{a} and {b}", "{a}, {b}", "{a} and then {b}", "{a}, then {b}", "{a}, and {b}", "{a}, and then {b}", "{a}. {b}", "{a}. Then {b}",
    "{a}; {b}", "{a} and also {b}", "{a}, also {b}", "{a}. Also {b}", "first {a}, then {b}", "first {a} and then {b}", "{a} + {b}", "{a} & {b}", "{a} plus {b}",
    "{a}, and also {b}", "{a} then {b}", "{a} and {b} too", "{a} and {b} as well", "{a} but also {b}", "{a} while you {b}",
    "{a}, afterwards {b}", "{a}, followed by {b}", "{a}. Once that is done, {b}", "{a}, in the end {b}", "{a}. Second, {b}", "1. {a} 2. {b}", "{a}, besides {b}", "{a} after which you {b}", "two things: {a}, {b}", "both {a} and {b}",
    "{place} {in}", "{place}, {in}", "{place}, all {in}", "{place} and make it {as}", "{place}, but {as}", "{place} and {as}", "{as}, and {place}", "{place}, {as}",
)  # fmt: skip
JOINERS_OF_ONE = (
    "[a|an|make it a|turn it into a] {as} and {so} [version|picture|photo|image]", "[a|make it a|turn it into a] {so}, {as} [version|picture|photo|image]", "{so} and {as}", "{as} and {so}", "make it {as} and {so}", "make it {so} and {as}",
    "{it}, {so} and {in}", "show {it} {so} {in}", "{so}, {in}", "{so} {in}", "i want it {so} and {as}", "{a} and make it {so}", "[make|turn] {it} {as}, {so}",
)  # fmt: skip
HELD_OUT_JOINERS = ("{a}, after that {b}", "do both: {a} and {b}", "{a} and finally {b}", "{a} and at the same time {b}", "{a}, next {b}", "{a}, and on top of that {b}")  # fmt: skip

LOOK_WORDS: dict[str, tuple[str, str]] = {
    "black and white": ("black and white|monochrome|greyscale|grayscale|b&w|colourless", "in black and white|in monochrome|in grayscale|in greyscale|without colour|in b&w"),
    "sepia": ("sepia|sepia toned|sepia coloured", "in sepia|in sepia tones|with a sepia tone|with a sepia filter"),
    "invert": ("inverted in colour|negative|colour inverted", "with inverted colours|as a negative|with the colours inverted|in negative"),
    "brighter": ("brighter|lighter|bright", "brighter|with more light|with more brightness|but brighter"),
    "darker": ("darker|dimmer|dark", "darker|with less light|with less brightness|but darker"),
    "more contrast": ("high contrast|more contrasty|punchier", "with more contrast|with higher contrast|in high contrast"),
    "less contrast": ("low contrast|less contrasty|flatter", "with less contrast|with lower contrast|in low contrast"),
    "more saturated": ("more saturated|vivid|more colourful|vibrant", "in vivid colours|with more saturation|with vibrant colors|with stronger colours"),
    "less saturated": ("less saturated|muted|less colourful|paler", "in muted colours|with less saturation|in pastel colors|with weaker colours"),
    "warmer": ("warmer|warm", "in warm tones|with warmer colours|with warm light|in warmer colors"),
    "cooler": ("cooler|cold|cool|colder", "in cool tones|with cooler colours|with cold light|in colder colors"),
    **{
        f"tint {name}": (f"{name}|{name} tinted|{words}", f"with a {name} tint|in {name}|with {words} tint|tinted {name}|in {name} light|with a {name} filter")
        for name, words in (("red", "reddish"), ("green", "greenish"), ("blue", "bluish"), ("purple", "purplish"), ("orange", "orangish"))
    },
    "vintage": ("vintage|retro|faded|old fashioned", "in a vintage style|with a retro look|like an old photo|with a vintage filter"),
    "night": ("night|nighttime|moonlit", "at night|by night|in moonlight|with a night look"),
    "swap red and blue": ("red and blue swapped|bgr", "with red and blue swapped|with the red and blue channels swapped|in bgr|with red and blue exchanged"),
    "blur": ("blurry|blurred|out of focus", "out of focus|with a blur|blurred|with some blur"),
}  # fmt: skip
ARRANGEMENT_WORDS: dict[str, str] = {
    "mirror": "mirrored|flipped horizontally|mirror image|reversed left to right|horizontally flipped",
    "upside down": "upside down|upside-down|flipped vertically|vertically flipped",
    "half turn": "rotated 180 degrees|rotated by 180 degrees|turned 180 degrees|rotated half a turn",
    "symmetric": "symmetric|symmetrical|left-right symmetric|mirror symmetric",
    "blend": "blended|mixed|merged|averaged",
}  # fmt: skip
HELD_OUT_COMPOSITIONS: dict[str, tuple[str, ...]] = {
    "black and white + mirror": ("make this photo black and white, mirrored left to right", "I'd like a mirrored greyscale shot"),
    "tint blue + upside down": ("flip it upside down, then give it a bluish tint on everything", "Upside down with blue light all over, please"),
    "sepia + first left, second right": ("put the first image on the left and the second on the right, in sepia", "side by side as one sepia print"),
    "night + mirror": ("its mirror image, as it would be at night",),
    "invert + half turn": ("spun by 180 degrees with the colours all inverted",),
    "warmer + symmetric": ("a symmetrical one with warmer light",),
    "black and white + blend": ("blend both photos into one black and white picture",),
    "darker + first above, second below": ("the first on top, the second at the bottom, and the whole a bit darker",),
    "brighter + second left, first right": ("image 2 left, image 1 right, everything brighter",),
    "vintage + second above, first below": ("picture 2 over picture 1, with an old film look",),
    "blur + upside down": ("turn the photo on its head and soften it",),
    "more saturated + mirror": ("swap left with right and boost every colour",),
    "swap red and blue + half turn": ("rotate by 180°, red and blue exchanged",),
    "tint red + mirror": ("a reddish mirror image",),
    "cooler + symmetric": ("symmetric and in colder colours please",),
    "less contrast + upside down": ("upside down and flat, with little contrast",),
}  # fmt: skip

ARRANGEMENTS = (
    *ARRANGEMENT_WORDS, "first left, second right", "second left, first right", "first above, second below", "second above, first below",
)  # fmt: skip

_CHOICE = re.compile(r"\[([^\]]*)\]")


def pattern_of(name: str, rng: random.Random, framed_share: float = FRAMED_SHARE) -> str:
    """A pattern of the edit called `name`, written out or put together."""
    if name in SAID and rng.random() < framed_share:
        return framed(name, rng)
    return rng.choice(PATTERNS[name])


def expand(pattern: str, rng: random.Random, pictures: Sequence[str] = THE_PICTURE) -> str:
    """One plain phrasing of a pattern, lower case, without politeness; `pictures` fill `{it}`."""
    text = pattern
    # Choices may hold `{it}`, so they are resolved first.
    text = _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), text)
    first, second = rng.choice(PAIRS)
    text = text.replace("{it}", rng.choice(pictures)).replace("{1}", first).replace("{2}", second)
    return " ".join(text.split()).replace(" ,", ",")


def _politely(text: str, rng: random.Random) -> str:
    before, after = (rng.choice(ends) if rng.random() < 0.6 else "" for ends in (BEFORE, AFTER))
    return before + text + after


def spelt(text: str, rng: random.Random) -> str:
    """A text in British or in American spelling."""
    if rng.random() < 0.5:
        return text
    return text.replace("colour", "color").replace("grey", "gray")


def phrasing(name: str, rng: random.Random, framed_share: float = FRAMED_SHARE) -> str:
    """A training phrasing of the edit called `name`: a pattern filled in, perhaps with
    politeness and capitals.
    """
    # Long patterns stand for many texts and short ones for one, but people type the short ones
    # often.
    text = spelt(expand(pattern_of(name, rng, framed_share), rng), rng)
    text = _politely(text, rng)
    kind = rng.random()
    if kind < 0.25:
        return text[0].upper() + text[1:]
    return text.upper() if kind < 0.27 else text


def composed(look: str, arrangement: str, rng: random.Random) -> str:
    """A training phrasing of two edits in one sentence, with capitals at times."""
    told = {name: pattern_of(name, rng) for name in (look, arrangement)}
    if rng.random() < JOINED_SHARE:
        text = joined(look, arrangement, told, rng)
    else:
        text = _joined_by_word(look, arrangement, told, rng)
    pair = any(place in arrangement for place in ("first", "blend"))
    # Choices and `{it}` of the joiner are left too.
    text = spelt(expand(text, rng, BOTH_PICTURES if pair else THE_PICTURE), rng)
    text = _politely(text, rng)
    return text[0].upper() + text[1:] if rng.random() < 0.3 else text


def _joined_by_word(
    look: str, arrangement: str, told: Mapping[str, str], rng: random.Random
) -> str:
    first, second = rng.sample((told[look], told[arrangement]), 2)
    adjective, tail = (rng.choice(words.split("|")) for words in LOOK_WORDS[look])
    has_word = arrangement in ARRANGEMENT_WORDS and rng.random() < 0.3
    text = rng.choice(JOINERS_OF_ONE if has_word else JOINERS)
    if has_word:
        text = text.replace("{so}", rng.choice(ARRANGEMENT_WORDS[arrangement].split("|")))
        first = told[look]
    text = text.replace("{place}", told[arrangement]).replace("{in}", tail)
    return text.replace("{as}", adjective).replace("{a}", first).replace("{b}", second)


def held_out_compositions(name: str) -> list[str]:
    """Phrasings of a composition (`LOOK + ARRANGEMENT`) kept from training: hand-written ones, and
    held-out phrasings of both parts under held-out joiners.
    """
    look, arrangement = name.split(" + ")
    rng = random.Random(name)  # noqa: S311  repeatable draws
    texts = list(HELD_OUT_COMPOSITIONS.get(name, ()))
    for place, joiner in enumerate(rng.sample(HELD_OUT_JOINERS, 2)):
        parts = [rng.choice(HELD_OUT[look]), rng.choice(HELD_OUT[arrangement])]
        first, second = parts if place else parts[::-1]
        texts.append(joiner.replace("{a}", first).replace("{b}", second))
    return texts


STRAY = (
    "really", "so", "very", "a bit", "then", "here", "maybe", "should", "want", "look", "just", "like", "somehow", "again", "actually", "basically", "kind of", "sort of", "also", "well", "ok", "hmm", "with", "the", "for", "in", "of", "all", "some", "one",
    "overall", "nicely", "properly", "beautiful", "new", "good", "my friend", "tomorrow", "website", "family", "holiday", "dog", "beach", "face", "background",
)  # fmt: skip
"""Words that say nothing about an edit."""


def noisy(text: str, rng: random.Random, rate: float = 0.15) -> str:
    """A text as a hurried person types it: sometimes a wrong letter, a missing word, or a stray or
    an unknown word.
    """
    words = text.split()
    if len(words) > 3 and rng.random() < rate:
        del words[rng.randrange(len(words))]
    if rng.random() < rate:
        unknown = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 7)))
        stray = unknown if rng.random() < 0.3 else rng.choice(STRAY)
        words.insert(rng.randrange(len(words) + 1), stray)
    text = " ".join(words)
    while len(text) > 6 and rng.random() < rate:
        text = _slip(text, rng.randrange(len(text) - 1), rng)
    return text


def _slip(text: str, spot: int, rng: random.Random) -> str:
    """Two letters swapped, or one missing, doubled or wrong."""
    first, second = text[spot : spot + 2]
    wrong = rng.choice(string.ascii_lowercase)
    slips = (second + first, first, second, first * 2 + second, wrong + second)
    return text[:spot] + rng.choice(slips) + text[spot + 2 :]


def corpus(
    per_edit: int, seed: int = 0, framed_share: float = FRAMED_SHARE
) -> list[tuple[str, str]]:
    """Distinct (edit name, phrasing) pairs, up to `per_edit` for each edit, held-out texts
    excluded.
    """
    rng = random.Random(seed)  # noqa: S311  repeatable draws
    forbidden = {
        plain(text) for held in (HELD_OUT, TYPED) for texts in held.values() for text in texts
    }
    pairs: list[tuple[str, str]] = []
    for name in PATTERNS:
        seen = {EXAMPLES[name]: None}
        for _ in range(per_edit * 3):
            text = phrasing(name, rng, framed_share)
            if plain(text) not in forbidden:
                seen[text] = None
            if len(seen) >= per_edit:
                break
        pairs += [(name, text) for text in seen]
    return pairs


def composed_corpus(per_edit: int, seed: int = 0) -> list[tuple[str, str]]:
    """As `corpus`, for the compositions."""
    rng = random.Random(seed)  # noqa: S311  repeatable draws
    forbidden = {
        plain(text)
        for held in (HELD_OUT_COMPOSITIONS, TYPED_COMPOSITIONS)
        for texts in held.values()
        for text in texts
    }
    pairs = []
    for look in LOOK_WORDS:
        for arrangement in ARRANGEMENTS:
            texts = (composed(look, arrangement, rng) for _ in range(per_edit))
            pairs += [
                (f"{look} + {arrangement}", text) for text in texts if plain(text) not in forbidden
            ]
    return pairs


def plain(text: str) -> str:
    """A text without case, punctuation at its ends or doubled spaces, for comparison."""
    return " ".join(text.lower().strip(" .,!?").split())


def covers(name: str, text: str) -> bool:
    """Whether the training patterns of `name`, politeness included, can produce `text` (case and
    end marks aside)."""
    target = plain(text)
    return any(_grammar(name).fullmatch(target + mark) is not None for mark in ("", "?", "!", "."))


@cache
def _grammar(name: str) -> re.Pattern[str]:
    before, after = ("|".join(map(re.escape, dict.fromkeys(ends))) for ends in (BEFORE, AFTER))
    whole = "|".join(_regex(pattern) for pattern in PATTERNS[name])
    return re.compile(f"(?:{before})(?:{whole})(?:{after})")


def _regex(pattern: str) -> str:
    whole = ""
    for part in re.split(r"(\[[^\]]*\])", pattern):
        if part.startswith("["):
            whole += "(?:" + "|".join(_literal(choice) for choice in part[1:-1].split("|")) + ")"
        else:
            whole += _literal(part)
    # Empty choices leave doubled blanks, which `expand` folds.
    return whole.replace(r"\ ", r"\s*")


def _literal(text: str) -> str:
    slots = {
        "{it}": "(?:" + "|".join(map(re.escape, THE_PICTURE)) + ")",
        "{1}": "(?:" + "|".join(re.escape(first) for first, _ in PAIRS) + ")",
        "{2}": "(?:" + "|".join(re.escape(second) for _, second in PAIRS) + ")",
    }
    pieces = re.split(r"(\{it\}|\{1\}|\{2\})", text)
    return "".join(slots.get(piece) or re.escape(piece) for piece in pieces)
