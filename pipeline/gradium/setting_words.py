"""Tells by the words of a reason whether a setting of the request is missing or wrong. Pure.

A service that failed inside also names languages and models (`language model worker out of memory`), and a run must not
end for that. So a statement about the setting itself is needed, and no word from the inside of a service.
"""

from __future__ import annotations

import re

_OURS = r"\b(json_config|delay_in_frames|delay_in_tokens|padding_bonus|target_language|model_name)\b"
"""Names that nothing else has."""
_NAME = (
    rf"['\"`]?({_OURS}|\b(languages?|(?<!language )(?<!acoustic )model|temp(erature)?|keywords?|boost|setup|settings?"
    r"|config(uration)?)\b)['\"`]?"
    # language model, model version: another thing
    r"(?! (models?|errors?|failures?|tokens?|versions?|instances?|replicas?|engines?|modules?|packs?|maps?|artifacts?"
    r"|dependenc(y|ies)|restart\w*|reload\w*|updates?)\b)"
)
_QUOTED = r"['\"`][^'\"`]{0,60}['\"`]"
_VALUE = (
    rf"([ :=]+({_QUOTED}|-?\d[\d.]*|(name|code|value|field|parameter|setting|message)s?( {_QUOTED})?"
    r"|[a-z]{2,3}([-_][a-z]{2,4})?(?= (is|was|not)\b)|[\w.-]{1,60}(?= does not exist)))?"
)
_WRONG = (
    r"(required|mandatory|missing|invalid|unsupported|unknown|malformed|out of (the )?(allowed |valid )?range"
    r"|too (many|few|long|large|high|low|small)"
    r"|(not|no longer) (set|given|provided|specified|supported|allowed|accepted|valid|recogni[sz]ed|known|permitted"
    r"|between|one of|in (the )?(range|list)|found))\b"
)
_STATEMENT = re.compile(
    # a language is required; language 'xx' is not supported; temp must be between 0 and 1.5
    rf"{_NAME}{_VALUE},?( (is|are|was|were))?[ :]+{_WRONG}"
    rf"|{_NAME}{_VALUE} (must|should|needs? to|ha(s|ve) to|can ?not|can't) (be|have|contain|consist|exceed)\b"
    rf"|{_NAME}{_VALUE} (does not exist|exceeds|could not be (parsed|read|understood|deseriali[sz]ed|decoded))\b"
    # unknown language 'xx'; missing field `language`; invalid value for temp; failed to parse json_config
    r"|\b(missing|required|invalid|bad|unsupported|unknown|unrecogni[sz]ed|malformed|no such|too many)"
    rf" ((required )?(value|field|parameter|setting|option|key)s?( for| of| in)?[ :]+)?((the|a|your) )?{_NAME}"
    rf"|\bno {_NAME} (was |is )?(set|given|provided|specified|sent)\b"
    rf"|\b(specify|provide|set|choose) (a|the|your) {_NAME}"
    rf"|\b(pars\w+|deseriali[sz]\w+|understand) (of )?((the|your) )?{_NAME}",
    re.IGNORECASE,
)
_OUR_NAME = re.compile(_OURS, re.IGNORECASE)
_ANYWHERE = re.compile(
    r"\b(invalid|bad|unsupported|unknown|missing|required|malformed|must|expected|out of range|between|pars(e|ed|ing)"
    r"|deseriali[sz]\w+|one of|not (supported|allowed|valid))\b",
    re.IGNORECASE,
)
_INSIDE = re.compile(
    r"\b(workers?|nodes?|pods?|hosts?|backend|upstream|gateway|proxy|database|db|disk|memory|cache|sockets?|connections?"
    r"|network|threads?|locks?|queues?|buffers?|storage|bucket|store|timeout|timed out|deadline|busy|overload(ed)?"
    r"|capacity|later|right now|at the moment|temporar(y|ily)|unavailable|pool|crash(ed)?|panic(ked)?|exception"
    r"|traceback|assert(ion)?|killed|gpu|cuda|oom|load(ed|ing)?|weights?|checkpoints?|tensors?|logits|tokeni[sz]er"
    r"|decoder|detect(ion|or)|files?|dir(ectory)?|folder|path|response|outputs?|results?|state|services?|servers?|index"
    r"|credentials|api[ _-]?key|credits?)\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"^(\W*\b(internal|server|service|asr|error|failure)\b)+\W+", re.IGNORECASE)
"""`Internal server error: `, before the statement."""
_KEYWORDS = re.compile(r"\b(keywords?|boost)\b", re.IGNORECASE)


def blames_setting(reason: str) -> bool:
    """Whether it says that a setting is missing or wrong."""
    reason = _BEFORE.sub("", reason)
    if _INSIDE.search(reason):
        return False
    if _OUR_NAME.search(reason) and _ANYWHERE.search(reason):
        return True
    return _STATEMENT.search(reason) is not None


def names_keywords(reason: str) -> bool:
    """Whether it is about keywords."""
    return _KEYWORDS.search(reason) is not None
