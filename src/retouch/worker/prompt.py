"""A prompt made ready for the engine: checked, and elaborated where its caller asked for that.

Neither is ever done in silence: what happened stands in the prediction's logs.
"""

from dataclasses import replace

from retouch.domain.edit import Edit
from retouch.domain.errors import Blocked
from retouch.ports import NotUpsampled, Upsampler
from retouch.service.safety import Safety

OFF = "Prompt upsampling is not configured on this server: the prompt was used as it is.\n"


async def ready(edit: Edit, safety: Safety, upsampler: Upsampler | None) -> tuple[Edit, str]:
    """The edit to make and lines for its logs; raises Blocked.

    An elaborated prompt is checked like the caller's own. When it cannot be had or is refused,
    the caller's own is used.
    """
    safety.check_prompt(edit.prompt, edit.safety_tolerance)
    if not edit.prompt_upsampling:
        return edit, ""
    if upsampler is None:
        return edit, OFF
    try:
        longer = await upsampler.upsample(edit.prompt, len(edit.images))
        safety.check_prompt(longer, edit.safety_tolerance)
    except NotUpsampled as error:
        return edit, f"The prompt was not upsampled, {error}: it was used as it is.\n"
    except Blocked:
        return edit, "The upsampled prompt was refused by a safety check: your own was used.\n"
    return replace(edit, prompt=longer), f"Upsampled prompt, by {upsampler.name}: {longer}\n"
