"""The words of the caption grammar: ways to tell each action, words of styles and paces, frames.

Whatever makes a sentence's form comes twice, for training and held out for validation and test:
no training caption has a held-out verb phrase, frame, sequence or overlay. Words of styles, paces
and subjects are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Phrases = tuple[str, ...]


@dataclass(frozen=True)
class Forms:
    """The same in wordings for training and in wordings held out for validation and test."""

    train: Any
    held_out: Any


def phrases_of(text: str) -> Phrases:
    """The phrases of a text, which stand on lines of their own or between semicolons."""
    return tuple(phrase.strip() for phrase in text.replace("\n", ";").split(";") if phrase.strip())


@dataclass(frozen=True)
class Words:
    """Ways to tell an action.

    `phrases` begin with a verb in its base form, more verbs are marked by "~"; {s} is the side,
    {p} the possessive. They stand under the extent that they need, under "" if they need none.
    `told` are whole sentences and noun phrases; `shown` may follow "with", as what arms do
    while legs do something else.
    """

    phrases: Mapping[str, Phrases]
    told: Phrases
    shown: Phrases = ()


_RAISE_ONE = Forms(
    train=Words(
        {
            "": phrases_of("""
                raise the {s} hand; raise {p} {s} hand; raise the {s} arm; raise {p} {s} arm
                lift the {s} hand; lift {p} {s} hand; lift the {s} arm; lift {p} {s} arm up
                lift up {p} {s} arm; raise up the {s} hand; put {p} {s} hand up
                put up the {s} hand; put the {s} arm up; bring the {s} hand up
                bring {p} {s} arm up; move the {s} arm upward; move {p} {s} hand up
                hold up the {s} hand; hold {p} {s} arm up; use the {s} hand to reach up
                raise one hand, the {s} one; lift one arm, the {s} one; raise the hand on the {s}
                raise only the {s} arm; lift just the {s} hand; raise the arm on {p} {s} side
                raise {p} {s} hand and ~lower it again; lift the {s} arm and ~put it back down
                put {p} {s} hand up, then down again; raise the {s} arm up and down
                raise the {s} hand as if to answer; show {p} {s} hand; raise {s} hand
                raise {s} arm; lift {s} arm up; raise a hand; raise one arm; put one hand up
                raise the {s} palm; lift {p} {s} palm; lift the {s} forearm; raise {p} {s} limb
                lift the upper limb on the {s}; bring {p} {s} wrist up; hold up {p} {s} palm
            """),
            "high": phrases_of("""
                raise {p} {s} arm up high; raise the {s} hand above the head
                lift {p} {s} hand over {p} head; lift the {s} arm into the air
                hold {p} {s} arm up high; stretch the {s} arm up; stretch {p} {s} arm overhead
                reach up with the {s} hand; reach up high with {p} {s} arm
                stretch {p} {s} arm toward the ceiling; point upward with the {s} arm
                put {p} {s} hand in the air; raise the {s} hand high in the air
                extend {p} {s} arm overhead; hold the {s} hand above {p} head
                reach for the ceiling with the {s} hand; raise the {s} arm straight up
                bring {p} {s} hand up over the head; swing the {s} arm up overhead
                raise the {s} palm over {p} head
            """),
            "head": phrases_of("""
                raise the {s} hand to head height; lift {p} {s} hand up to the head
                bring the {s} hand up beside {p} head; raise {p} {s} hand to the face
                lift the {s} arm up to eye level; hold the {s} hand up next to {p} head
            """),
            "low": phrases_of("""
                raise the {s} hand to shoulder height; lift {p} {s} hand up to the shoulder
                raise {p} {s} hand a little; lift the {s} hand in front of {p} chest
                bring {p} {s} hand up to the shoulder; raise the {s} hand halfway
            """),
        },
        told=phrases_of("""
            the {s} hand goes up; {p} {s} arm goes up; the {s} arm goes up and down
            the {s} arm goes up while the other one stays down; a {s} hand raise
            {s} hand up; {s} arm up; {s} arm raised; {s} hand raised; a raised {s} hand
            it is the {s} hand that is raised; raising of the {s} arm; hand up, {s}
            the person's {s} hand is lifted; one hand goes up, the {s} one; {s} arm lift
            a person with the {s} hand up; someone whose {s} arm is raised; the {s} palm goes up
        """),
        shown=phrases_of("""
            the {s} arm raised; {p} {s} hand up; {p} {s} arm lifted; {p} {s} arm up
            the {s} hand raised; {p} {s} hand lifted
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                elevate the {s} arm; hoist {p} {s} hand up; send the {s} hand upward
                stick {p} {s} arm up; move {p} {s} palm up; let {p} {s} arm rise
                have the {s} limb go up; take the {s} hand up from {p} side; get {p} {s} arm up
                perform a raise of the {s} arm; lift the whole {s} arm; make {p} {s} hand go up
            """),
            "high": phrases_of("""
                stick {p} {s} arm up into the air; point {p} {s} arm straight up
                hold the {s} palm high over the head
            """),
            "head": phrases_of("""
                bring the {s} palm level with {p} face; elevate the {s} hand to {p} head
            """),
            "low": phrases_of("""
                hold the {s} hand up at {p} shoulder; elevate the {s} hand to {p} shoulder
            """),
        },
        told=phrases_of("""
            up goes the {s} hand; the {s} arm moves upward; a lift of the {s} arm
            somebody with a raised {s} arm; the hand on the {s} rises
        """),
        shown=phrases_of("the {s} hand held up; the {s} palm in the air; {p} {s} arm elevated"),
    ),
)
_RAISE_BOTH = Forms(
    train=Words(
        {
            "": phrases_of("""
                raise both hands; raise {p} hands; raise both arms; raise {p} arms
                raise {p} two hands; raise the two arms; lift both hands; lift {p} hands
                lift both arms up; lift {p} arms; lift up both arms; put both hands up
                put {p} hands up; put both arms up; hold both hands up; hold up {p} hands
                bring both hands up; bring up two hands; move both arms upward
                raise both hands at once; raise the left and the right hand together
                lift the left arm and the right arm; raise both {p} arms at the same time
                raise both hands and ~lower them again; lift both arms and ~put them back down
                put both hands up, then down again; raise two hands; raise each arm
                use both hands to reach up; raise both arms up and down; raise both palms
                lift {p} palms; lift both forearms; raise both upper limbs; hold up both palms
                bring both wrists up
            """),
            "high": phrases_of("""
                raise both arms up high; raise both hands above the head; lift {p} arms overhead
                raise {p} hands over {p} head; lift both arms into the air
                stretch both arms up; reach up with both hands; reach for the sky with both arms
                put {p} hands in the air; throw both hands up; hold both arms up high
                extend both arms overhead; raise two hands into the air
                stretch {p} arms toward the ceiling; raise both arms straight up
                cheer with both arms up; swing both arms up overhead; raise {p} palms overhead
            """),
            "head": phrases_of("""
                raise both hands to head height; lift {p} hands up to the head
                bring both hands up beside {p} head; hold both hands up next to the head
                raise {p} hands to the face; lift both arms up to eye level
            """),
            "low": phrases_of("""
                raise both hands to shoulder height; lift {p} hands up to the shoulders
                raise both hands a little; lift both hands in front of {p} chest
                bring both hands up to the shoulders; raise both arms halfway
            """),
        },
        told=phrases_of("""
            both hands go up; {p} arms go up; both arms go up and down; both hands up
            hands up; both arms raised; raising of both arms; two hands go up
            the person's hands are both lifted; a person with both hands up
            a raise of both arms; both palms go up
        """),
        shown=phrases_of("both arms raised; both hands up; {p} arms lifted; both arms up"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                elevate both arms; hoist {p} hands up; send both hands upward; stick both arms up
                move both palms up; let {p} arms rise; have both limbs go up
                take both hands up from {p} sides; get {p} two arms up; make both hands go up
            """),
            "high": phrases_of("""
                stick both arms up into the air; point both arms straight up
                hold both palms high over the head
            """),
            "head": phrases_of(
                "bring both palms level with {p} face; elevate both hands to {p} head"
            ),
            "low": phrases_of("""
                hold both hands up at {p} shoulders; elevate both hands to {p} shoulders
            """),
        },
        told=phrases_of("up go both hands; a lift of both arms; somebody with two raised arms"),
        shown=phrases_of("both hands held up; both palms in the air; both arms elevated"),
    ),
)
_WAVE_ONE = Forms(
    train=Words(
        {
            "": phrases_of("""
                wave the {s} hand; wave {p} {s} hand; wave {p} {s} arm; wave the {s} arm
                wave with the {s} hand; wave with {p} {s} hand; wave with {p} {s} arm
                wave hello with the {s} hand; wave hello with {p} {s} hand
                wave hi using the {s} hand; wave using {p} {s} hand; wave hello, {s} hand
                wave goodbye with the {s} hand; wave goodbye with {p} {s} arm
                wave bye with the {s} hand; wave at someone with {p} {s} hand
                wave to a friend with the {s} hand; wave to the crowd using {p} {s} arm
                greet somebody by waving the {s} hand; greet a friend with {p} {s} hand waving
                give a wave with the {s} hand; give someone a wave with {p} {s} hand
                say hello with a wave of the {s} hand; say goodbye by waving {p} {s} hand
                raise the {s} hand and ~wave; lift {p} {s} arm and ~wave it
                put {p} {s} hand up and ~wave; hold up the {s} hand to wave
                wave {s} hand; wave {p} hand, the {s} one; wave with the arm on the {s}
                wave only with the {s} hand; wave a hand; wave with one hand; wave hello
                wave the {s} palm; wave {p} {s} palm in greeting; wave the {s} forearm
                wave {p} {s} limb
            """),
            "wide": phrases_of("""
                swing the {s} hand from side to side; wave {p} {s} arm back and forth
                move {p} raised {s} hand from side to side; shake the {s} hand in the air
                swing {p} {s} arm back and forth in the air; signal with {p} {s} arm
                move the {s} arm back and forth to greet somebody
            """),
            "high": phrases_of("""
                wave the {s} hand above the head; wave {p} {s} hand high in the air
                wave {p} {s} arm overhead; hold {p} {s} hand up high and ~wave
                reach up and ~wave with the {s} hand
            """),
            "head": phrases_of(
                "wave the {s} hand beside {p} head; wave {p} {s} hand at head height"
            ),
            "low": phrases_of("""
                wave the {s} hand at shoulder height; wave a little with {p} {s} hand
                give a small wave with the {s} hand; wave {p} {s} hand in front of the chest
            """),
        },
        told=phrases_of("""
            the {s} hand waves; the {s} arm waves while the other one hangs down
            a wave with the {s} hand; {s} hand waving; {s} hand wave; {s} arm waving
            it is the {s} hand that waves; the person's {s} hand is waving
            one hand waves, the {s} one; a greeting with the {s} hand waving
            someone whose {s} hand waves; a {s} handed wave; a wave of the {s} arm
        """),
        shown=phrases_of("the {s} hand waving; {p} {s} arm waving; {p} {s} hand waving hello"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                do a wave using the {s} arm; greet people with a wave of {p} {s} arm
                signal hello by waving the {s} palm; wag {p} {s} hand in greeting
                wave farewell with the {s} hand; have the {s} hand wave; let {p} {s} arm wave
                send somebody a wave with {p} {s} hand; use the {s} hand for a wave
                make a waving motion with the {s} hand
            """),
            "wide": phrases_of("""
                sway the raised {s} arm to and fro; rock {p} {s} palm from side to side
            """),
            "high": phrases_of(
                "wave the {s} palm over the head; stretch the {s} arm up and ~wave it"
            ),
            "head": phrases_of("wave the {s} palm next to {p} face"),
            "low": phrases_of(
                "wave the {s} palm at the shoulder; give a little wave with {p} {s} hand"
            ),
        },
        told=phrases_of("""
            a waving {s} hand; the hand on the {s} is being waved; the {s} palm waves
            hello, waved with the {s} hand
        """),
        shown=phrases_of(
            "the {s} palm waving; {p} {s} hand waved in greeting; {p} {s} arm in a wave"
        ),
    ),
)
_WAVE_BOTH = Forms(
    train=Words(
        {
            "": phrases_of("""
                wave both hands; wave {p} hands; wave both arms; wave {p} arms
                wave with both hands; wave with two hands; wave with both arms
                wave {p} two arms; wave hello with both hands; wave hi using both hands
                wave goodbye with both hands; wave goodbye with both arms
                wave bye, both hands; wave at someone with both hands
                wave to a friend with {p} two hands; wave the left and the right hand together
                wave to the crowd using both arms; greet somebody by waving both hands
                greet a friend with both arms waving; give a wave with both arms
                give someone a wave with both hands; say hello with both hands waving
                say goodbye by waving both hands; raise both hands and ~wave
                lift {p} arms and ~wave them; put both hands up and ~wave
                hold up both hands to wave; wave both hands at once
                wave both {p} arms at the same time; wave both palms; wave {p} palms in greeting
                wave both forearms
            """),
            "wide": phrases_of("""
                swing both hands from side to side; wave both arms back and forth
                move {p} raised hands from side to side; shake both hands in the air
                swing {p} arms back and forth in the air; signal with both arms
            """),
            "high": phrases_of("""
                wave both hands above the head; wave {p} hands high in the air
                wave both arms overhead; hold both hands up high and ~wave
            """),
            "head": phrases_of("wave both hands beside {p} head; wave {p} hands at head height"),
            "low": phrases_of("""
                wave both hands at shoulder height; wave a little with both hands
                give a small wave with both hands; wave {p} hands in front of the chest
            """),
        },
        told=phrases_of("""
            both hands wave; both arms wave at once; a wave with both hands; both hands waving
            two hands wave; the person's hands are both waving; a two handed wave
            a greeting with both hands waving; a wave of both arms
        """),
        shown=phrases_of("both hands waving; both arms waving; {p} arms waving"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                do a wave using both arms; greet people with a wave of both arms
                signal hello by waving both palms; wag both hands in greeting
                wave farewell with both hands; have both hands wave; let {p} two arms wave
                send somebody a wave with both hands; use both hands for a wave
                make a waving motion with both hands
            """),
            "wide": phrases_of("""
                sway both raised arms to and fro; rock both palms from side to side
            """),
            "high": phrases_of(
                "wave both palms over the head; stretch both arms up and ~wave them"
            ),
            "head": phrases_of("wave both palms next to {p} face"),
            "low": phrases_of(
                "wave both palms at the shoulders; give a little wave with both hands"
            ),
        },
        told=phrases_of("""
            a waving of both arms; both hands are being waved; both palms wave
            hello, waved with both hands
        """),
        shown=phrases_of("both palms waving; both hands waved in greeting; both arms in a wave"),
    ),
)
_WALK = Forms(
    train=Words(
        {
            "": phrases_of("""
                walk; walk forward; walk forwards; walk straight ahead; walk ahead; walk along
                walk straight; walk in a straight line; walk straight forward; stroll forward
                stroll along; go for a walk; take a walk; go forward on foot; step forward
                take several steps forward; walk a few steps; move forward at a walk
                walk across the room; walk from one place to another; make {p} way forward
                keep walking; travel forward on foot; walk a few meters forward
                put one foot in front of the other; pace forward; walk on; walk onward
                walk step by step; move ahead on foot; take a number of steps ahead
            """),
        },
        told=phrases_of("""
            a walk forward; a walk; a straight walk; steps forward; a person on a walk
            a walk straight ahead; some steps forward; forward walking
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                advance on foot; head forward walking; proceed straight ahead on foot
                stride forward; go ahead at a walk; do some walking; march forward; walk onwards
                pace straight ahead; move along on {p} feet; cover some ground on foot
                tread forward
            """),
        },
        told=phrases_of("""
            a stroll straight ahead; footsteps that lead forward; somebody on foot going ahead
        """),
    ),
)
_RUN = Forms(
    train=Words(
        {
            "": phrases_of("""
                run; run forward; run forwards; run straight ahead; run ahead; run along
                run straight; run in a straight line; jog; jog forward; jog along
                jog straight ahead; go for a run; go jogging; move forward at a run
                move forward running; run across the room; keep running; run a few meters
                take running steps forward; run from one place to another; run on; run onward
                go running; jog in a straight line; jog ahead; run straight forward; jog on
                travel forward at a run; take a run; go ahead at a run; keep jogging
                jog across the room
            """),
        },
        told=phrases_of("""
            a run forward; a run; a straight run; a jog forward; a person on a run
            a run straight ahead; forward running
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                advance at a run; head forward running; do some running; proceed at a jog
                run onwards; do a run in a straight line; cover some ground running
                move along at a jog; go forward with running strides; take off on a run
            """),
        },
        told=phrases_of("""
            a jog straight ahead; running steps that lead forward; somebody running ahead
        """),
    ),
)
_SPRINT = Forms(
    train=Words(
        {
            "": phrases_of("""
                sprint; sprint forward; sprint straight ahead; dash; dash forward; dash ahead
                run forward very fast; run as fast as possible; run at full speed; rush forward
                race forward; run at a sprint; run hard; dash straight ahead; run at top speed
                sprint in a straight line; race straight ahead; rush ahead; rush along
                do a sprint; go forward at a sprint; run flat out; charge forward; race ahead
                move forward at a sprint; sprint across the room; dash across the room
                keep sprinting; bolt forward; run with all {p} might; make a dash forward
            """),
        },
        told=phrases_of("""
            a sprint; a sprint forward; a dash; a dash forward; a run at full speed
            a fast run straight ahead
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                advance at full speed; charge straight on; put on a sprint; tear along at full tilt
                run like the wind; race onward; do a dash in a straight line; hurtle forward
                go forward as fast as {p} legs can carry; rush straight on
            """),
        },
        told=phrases_of("a race forward; a very fast run; somebody running at top speed"),
    ),
)
_TURN = Forms(
    train=Words(
        {
            "": phrases_of("""
                walk and ~turn {s}; walk and ~turn to the {s}; walk and ~make a {s} turn
                walk forward and then ~turn {s}; walk forward, turning {s}; walk a {s} turn
                walk forward, then ~turn to the {s}; walk around a corner to the {s}
                walk in a curve to the {s}; walk in a {s} curve; walk along a curve to the {s}
                walk a quarter circle to the {s}; walk and ~turn ninety degrees to the {s}
                turn {s} while walking; turn to the {s} while walking; take a {s} turn
                make a {s} turn while walking; turn {s} and ~keep walking
                change direction to the {s} while walking; curve to the {s} while walking
                go around a corner to the {s}; stroll and ~turn {s}; walk, bending to the {s}
                walk ahead and ~go {s}; walk {s}; walk to the {s}; walk forward and ~curve {s}
                turn {s}; walk toward the {s}; make a quarter turn to the {s} while walking
                walk with a turn to the {s}; walk around a {s} bend
            """),
        },
        told=phrases_of("""
            a walk with a turn to the {s}; a {s} turn; a walk that bends to the {s}
            walking with a {s} turn; a {s} turn while walking; the path curves to the {s}
            a walk around a {s} corner
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                swing to the {s} on foot; walk an arc to the {s}; follow a {s} curve on foot
                bear {s} while stepping forward; head off to the {s} after a few steps
                go on foot and ~wheel {s}; walk a bend that leads {s}; steer {s} as the walk goes on
                go {s} at a corner on foot; rotate to the {s} during a walk
            """),
        },
        told=phrases_of("""
            a curved walk to the {s}; a bend to the {s} on foot; the walk swings {s}
        """),
    ),
)
_UTURN = Forms(
    train=Words(
        {
            "": phrases_of("""
                walk a half circle to the {s}; walk and ~turn around to the {s}
                make a u-turn to the {s} while walking; walk in a semicircle to the {s}
                walk and ~come back in a curve to the {s}; turn around while walking
                turn around to the {s} while walking; walk in a wide curve to the {s}
                turn back to the {s} while walking; walk forward, ~turn around and ~walk back
                walk and ~turn back to the {s}; walk and ~make a u-turn to the {s}
                walk forward and ~turn all the way around to the {s}; do a u-turn on foot
                walk a {s} half circle; walk half of a circle to the {s}; walk a u-turn
                walk half a circle, turning {s}; walk forward, turning back to the {s}
                walk forward and then ~turn around to the {s}; walk in a {s} half circle
                make a half turn to the {s} while walking; walk, turning around to the {s}
                walk and ~turn half a circle to the {s}; walk and ~return along a {s} curve
                curve back to the {s} while walking; walk a curve back to the {s}
                turn to face the other way while walking; turn around and ~keep walking
                turn around over the {s} side and ~walk back; walk around a {s} hairpin bend
            """),
        },
        told=phrases_of("""
            a u-turn to the {s}; a walk with a u-turn to the {s}; a half circle to the {s}
            a half circle on foot; a walk that turns back to the {s}
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                walk an arc of half a circle to the {s}; double back to the {s} on foot
                swing around to the {s} on foot; go on foot and ~come about to the {s}
                walk a hairpin to the {s}; head back after a wide {s} turn on foot
                rotate half way around to the {s} during a walk; walk a loop back to the {s}
            """),
        },
        told=phrases_of("a semicircle walked to the {s}; the walk swings around to the {s}"),
    ),
)
_CIRCLE = Forms(
    train=Words(
        {
            "": phrases_of("""
                walk in a circle; walk around in a circle; walk a full circle; walk in circles
                walk a circle to the {s}; walk in a circle to the {s}; go around in a circle
                walk around in a circle, turning {s}; circle around to the {s}
                walk in a circle, always turning {s}; walk a circle and ~come back to the start
                walk along a circle toward the {s}; go round and round, turning {s}
                walk a {s} circle; walk around a circle to the {s}; pace in a circle
                walk in a round path to the {s}; keep turning {s} while walking
                walk all the way around a circle; make a circle on foot; circle to the {s} on foot
                walk along a circle; walk a whole circle to the {s}; move in a circle on foot
                go in a circle to the {s}; walk around and around; make a full {s} turn on foot
                follow a circle to the {s}; walk a ring to the {s}; walk one round to the {s}
                walk in a loop, turning {s}; walk around an invisible ring to the {s}
            """),
        },
        told=phrases_of("""
            a walk in a circle; a circle to the {s}; a full circle on foot; walking in a circle
            a round walk to the {s}
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                walk laps of a small circle to the {s}; trace a circle on the floor, turning {s}
                orbit to the {s} on foot; do a round on foot to the {s}; step around in a ring
                walk a closed loop to the {s}; wheel around to the {s} in a ring
                describe a circle on foot to the {s}
            """),
        },
        told=phrases_of("a lap around a circle to the {s}; a closed loop on foot"),
    ),
)
_DIAGONAL = Forms(
    train=Words(
        {
            "": phrases_of("""
                walk forward and to the {s}; walk diagonally to the {s}; walk to the {s}
                walk forward, drifting to the {s}; drift to the {s} while walking forward
                move diagonally toward the {s}; walk with steps to the {s}
                veer {s} while walking; walk ahead, shifting to the {s}
                walk at an angle to the {s}; move to the {s} without turning
                step forward and to the {s}; walk diagonally {s}; walk forward and {s}
                walk on a diagonal to the {s}; step diagonally to the {s}; walk toward the {s}
                walk {s} without turning the body; go forward and to the {s}
                go diagonally to the {s}; walk ahead and to the {s}; walk forward, going {s}
                take diagonal steps to the {s}; move forward and to the {s}
                walk along a diagonal to the {s}; shift to the {s} while walking
                walk forward, moving over to the {s}; move over to the {s} while walking
                travel diagonally to the {s}; walk forward at an angle toward the {s}
                walk to the front and {s}; take steps forward and to the {s}
            """),
        },
        told=phrases_of("""
            a diagonal walk to the {s}; a walk forward and to the {s}; diagonal steps to the {s}
            a walk to the {s} without a turn; walking diagonally to the {s}
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                cross diagonally to the {s}; slant off to the {s} on foot
                edge over to the {s} while stepping ahead; pace obliquely to the {s}
                make for the front {s}; advance on a slant to the {s}
                head forward and off to the {s}; wander off to the {s} facing ahead
            """),
        },
        told=phrases_of("a slanting walk to the {s}; steps that lead ahead and {s}"),
    ),
)
_BACK = Forms(
    train=Words(
        {
            "": phrases_of("""
                walk backward; walk backwards; walk back; go backward; go backwards; step back
                step backward several times; take several steps back; take steps backward
                move backward on foot; move backwards; back away; back up; walk straight back
                walk rearward; move back step by step; step backwards; pace backward
                walk backward step by step; take backward steps; make {p} way backward
                keep walking backward; go backward on foot; take a few steps backward
                walk backward in a straight line; walk back without turning around
                walk away backward; travel backward on foot; take some steps back; move back
                go back step by step
            """),
        },
        told=phrases_of("""
            a walk backward; steps backward; a backward walk; backward steps; some steps back
            a straight walk backward
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                step rearward; tread backward; head backward on foot; move to the rear
                withdraw step by step; go back facing forward; stroll backward; back off
                do some walking backward; set one foot behind the other; pace back
            """),
        },
        told=phrases_of("a backward stroll; steps that lead to the rear; somebody backing up"),
    ),
)
_STAND = Forms(
    train=Words(
        {
            "": phrases_of("""
                stand still; stand; stand in place; remain standing; stand without moving
                stand there; do nothing; stand idle; stay in place; stand and ~wait
                stand motionless; keep still; stand calmly; wait while standing; stand upright
                stand on both feet; stand around; stay standing; stand in one spot; stand at rest
                remain in place; stand and ~do nothing; stay still; stand and ~rest
                remain on the spot; stand on the spot; keep standing; rest while standing
                stand idly; stand straight; wait on the spot
            """),
        },
        told=phrases_of("a standing person; a person at rest; standing pose; a person who stands"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                stay put; hold still; stand by; linger on the spot; stay on {p} feet
                pause in a standing pose; remain upright; idle in place; stay where {p} feet are
            """),
        },
        told=phrases_of("an upright pose at rest; a quiet stance"),
    ),
)
_BOW = Forms(
    train=Words(
        {
            "": phrases_of("""
                bow; bow politely; bow forward; take a bow; bend forward to bow
                bend at the waist; greet somebody with a bow; bow to somebody; bow and ~rise
                lean forward and ~bow; make a bow; bow in greeting; bend {p} upper body
                bow {p} head and upper body; bend forward at the hips; bow and ~straighten up
                bow to show respect; give a bow; bend over politely; bow from the waist
                bend {p} back to bow; do a bow; bow to greet someone; lower {p} upper body to bow
                tilt {p} upper body forward; bend forward and ~come up again; bow toward someone
                lean {p} trunk forward in a bow; bend {p} torso forward; say thanks with a bow
                bow with {p} upper body
            """),
            "deep": phrases_of("""
                bow deeply; bow down low; take a deep bow; bend far forward to bow
                bend {p} upper body far down; give a deep bow
            """),
            "slight": phrases_of("""
                bow slightly; give a small bow; nod in a small bow; lower the head to bow
                bend a little forward; make a slight bow
            """),
        },
        told=phrases_of("""
            a bow; a polite bow; a bow of greeting; a bow forward; the upper body bends forward
            a bow from the waist
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                incline {p} upper body; dip forward in a bow; offer a bow; perform a bow
                pay respect by bowing; fold forward at the waist; tip {p} torso forward
                bend down as a greeting; bow courteously; hinge forward at the hips
            """),
            "deep": phrases_of("fold far down in a bow; bow very low"),
            "slight": phrases_of("dip {p} head in a brief bow; incline the head a bit"),
        },
        told=phrases_of("a respectful bow; the torso tips forward in a bow; a courteous bend"),
    ),
)
_GUIDE = Forms(
    train=Words(
        {
            "": phrases_of("""
                show the way with the {s} hand; point the way with {p} {s} hand
                invite somebody with the {s} hand; gesture with {p} {s} arm to show the way
                direct someone with the {s} arm; hold out the {s} hand to show the way
                usher somebody along with the {s} hand; guide someone with {p} {s} hand
                stretch out {p} {s} arm to guide somebody; point forward with the {s} hand
                offer the way with {p} {s} hand; extend the {s} arm forward as a guide
                show someone where to go with the {s} hand; guide a guest with {p} {s} arm
                use the {s} hand to show the way; use {p} {s} arm to direct somebody
                point out the way with the {s} arm; invite a guest in with {p} {s} hand
                stretch the {s} hand out to show the direction; direct people with {p} {s} hand
                hold {p} {s} arm out to guide somebody; lead someone with the {s} hand
                gesture the way with the {s} hand; indicate the way with {p} {s} hand
                show the direction with {p} {s} palm; point somewhere with the {s} hand
                hold out {p} {s} palm to invite somebody; reach out the {s} arm as a guide
                indicate a direction with the {s} arm; give directions with {p} {s} hand
                wave somebody along with the {s} hand; make an inviting gesture with the {s} arm
            """),
        },
        told=phrases_of("""
            the {s} hand shows the way; a gesture of the {s} hand that shows the way
            guiding with the {s} hand; an inviting gesture with the {s} arm
            the {s} arm points the way
        """),
        shown=phrases_of("the {s} arm stretched out; {p} {s} hand showing the way"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                present the way with the {s} palm; beckon the way onward with {p} {s} hand
                welcome a visitor by extending the {s} arm; steer people with the {s} hand
                signal where to go with {p} {s} arm; hold the {s} hand out like an usher
                direct traffic with the {s} arm; motion somebody forward with {p} {s} hand
            """),
        },
        told=phrases_of("a guiding motion of the {s} arm; the {s} palm offers the way"),
        shown=phrases_of("the {s} palm held out; {p} {s} arm pointing the way"),
    ),
)
_CALL = Forms(
    train=Words(
        {
            "": phrases_of("""
                call out to somebody; call out with both hands at the mouth
                yell to somebody far; shout through cupped hands
                bring both hands to the mouth and ~shout; call someone; call out loudly
                shout to someone far away; call with cupped hands; yell with cupped hands
                call out with {p} hands around {p} mouth; shout with both hands at {p} mouth
                put {p} hands to {p} mouth and ~call; cup {p} hands and ~shout
                cup both hands around {p} mouth; raise both hands to the mouth and ~yell
                call to a friend; yell out to someone; shout across a distance; call out
                hold both hands to {p} mouth and ~call; shout a greeting; call into the distance
                use {p} hands as a megaphone; yell through {p} hands; call for someone
                lift both hands to {p} mouth and ~call out; shout for somebody; yell loudly
                make a funnel of {p} hands and ~shout; call out through {p} palms
            """),
        },
        told=phrases_of("""
            a call to somebody far away; a shout through cupped hands; both hands at the mouth
            a call through the hands; calling out
        """),
        shown=phrases_of("both hands at {p} mouth; {p} hands cupped around {p} mouth"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                holler at somebody in the distance; bellow through both palms
                form a megaphone with {p} hands; hail a friend far off; cry out to someone
                frame {p} mouth with both hands and ~holler; summon somebody by shouting
                send out a loud call
            """),
        },
        told=phrases_of("a yell through both hands; a loud call from cupped palms"),
        shown=phrases_of("both palms at {p} mouth; two hands framing {p} mouth"),
    ),
)
_KICK = Forms(
    train=Words(
        {
            "": phrases_of("""
                kick with the {s} leg; kick with {p} {s} foot; throw a {s} kick
                practice kicks with the {s} leg; do martial arts kicks with the {s} foot
                kick; kick the air with the {s} foot; do a {s} kick; give a kick with the {s} foot
                kick forward with {p} {s} leg; swing the {s} leg in a kick; kick {p} {s} leg
                throw kicks with {p} {s} leg; kick out with the {s} foot; kick using {p} {s} leg
                kick something with the {s} foot; kick at someone with {p} {s} leg
                perform a kick with the {s} leg; raise the {s} leg and ~kick; kick {p} {s} foot
                lift {p} {s} foot and ~kick; fight with kicks of the {s} leg; kick with one leg
                practice martial arts kicks with {p} {s} leg; attack with the {s} foot
                strike with the {s} foot; kick the {s} leg up; use the {s} leg to kick
                stand on one leg and ~kick with the {s} foot; do kicks with {p} {s} limb
                deliver a kick with the {s} leg; kick an opponent with {p} {s} foot
            """),
        },
        told=phrases_of("""
            a kick with the {s} leg; a {s} kick; a kick of the {s} foot; the {s} leg kicks
            kicking with the {s} foot
        """),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                strike out with the {s} leg; launch a kick from the {s} side
                hit the air with {p} {s} foot; fling {p} {s} foot in a kick
                lash out with the {s} foot; execute a {s} leg kick; aim a kick with {p} {s} leg
                boot the air with the {s} foot
            """),
        },
        told=phrases_of("a strike with the {s} foot; the {s} foot lashes out in a kick"),
    ),
)
_PUNCH = Forms(
    train=Words(
        {
            "": phrases_of("""
                punch with the {s} hand; throw punches with {p} {s} fist; box with the {s} hand
                jab with {p} {s} fist; punch the air with the {s} fist; throw a {s} punch; punch
                throw a punch with the {s} arm; punch with {p} {s} fist; punch with {p} {s} arm
                strike with the {s} fist; hit with {p} {s} fist; box the air with {p} {s} fist
                do a punch with the {s} hand; punch forward with the {s} fist; box
                practice punches with the {s} hand; deliver a punch with {p} {s} hand
                give a punch with the {s} hand; fight with the {s} fist; jab with the {s} arm
                punch someone with {p} {s} hand; punch at an opponent with the {s} fist
                throw {p} {s} fist forward; attack with the {s} fist; make a {s} punch
                clench {p} {s} fist and ~punch; punch using the {s} arm; punch like a boxer
                use the {s} fist to punch; perform punches with the {s} hand
            """),
        },
        told=phrases_of("""
            a punch with the {s} hand; a {s} punch; punches with the {s} fist
            the {s} fist punches; punching with the {s} hand
        """),
        shown=phrases_of("the {s} fist punching; {p} {s} hand punching"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                swing the {s} fist at someone; thrust {p} {s} fist out; land a {s} blow
                hit the air with the {s} hand; lash out with the {s} fist; do some boxing
                launch a punch from the {s} side; spar with {p} {s} arm
            """),
        },
        told=phrases_of("a blow with the {s} fist; the {s} fist lashes out"),
        shown=phrases_of("the {s} fist striking out; {p} {s} arm thrusting blows"),
    ),
)
_SLASH = Forms(
    train=Words(
        {
            "": phrases_of("""
                slash with a sword; swing a sword with both hands; fight with a sword
                slash the air with both hands; practice sword strikes; slash; swing a sword
                strike with a sword; cut with a sword; cut the air with a blade
                swing a blade with both arms; slash at an enemy; do a sword slash
                hold a sword and ~slash; attack with a sword; attack someone with a sword
                swing {p} sword; slash with {p} sword; wield a sword with both hands
                perform sword strikes; make a slash with a sword; slash at somebody
                practice with a sword; use a sword to slash; strike the air with a sword
                swing both arms as if with a sword; pretend to slash with a sword; slash around
                do sword training; slash like a swordsman; cut through the air with a sword
            """),
        },
        told=phrases_of(
            "a slash; a sword strike; a slash with a sword; sword fighting; a sword swing"
        ),
        shown=phrases_of("both hands swinging a sword; a sword in both hands"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                wield a blade against someone; deliver a cut with a sword; duel with a sword
                hack at the air with a sword; brandish a sword; carve the air with a blade
                chop with a sword; make a cutting motion with both arms
            """),
        },
        told=phrases_of("a cut with a blade; strokes of a sword"),
        shown=phrases_of("both arms wielding a blade; a blade swung in both hands"),
    ),
)
_DANCE = Forms(
    train=Words(
        {
            "": phrases_of("""
                dance; perform a dance; dance to music; do dance moves; dance around; do a dance
                dance to a song; make dance moves; show some dance moves; dance with {p} body
                dance with {p} arms and legs; practice a dance; dance on the spot; keep dancing
                move to music; move in a dance; move {p} body to a beat; dance to a beat
                dance alone; dance a routine; perform dance steps; do dance steps; go dancing
                take dance steps; dance a little; have a dance; dance freely; do some dancing
                perform a dance routine; dance as in a show; move as if dancing
            """),
        },
        told=phrases_of("a dance; dancing; dance moves; a dance to music; a dance routine"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                groove to a tune; perform choreography; bust out dance moves; move like a dancer
                step to the rhythm of a song; follow a choreography; sway and ~step to music
                put on a dance
            """),
        },
        told=phrases_of("a choreography; a dancer at work; steps of a dance"),
    ),
)
_SQUAT = Forms(
    train=Words(
        {
            "": phrases_of("""
                squat; do squats; squat down and ~get up; bend the knees deeply; do knee bends
                squat down; perform squats; squat and ~stand up; go down into a squat
                bend {p} knees and ~stand up again; do a squat; lower {p} body into a squat
                squat low; squat up and down; crouch down and ~get up; practice squats
                do squat exercises; sink down and ~stand up; bend both legs and ~rise
                exercise with squats; lower {p} hips and ~rise; go up and down in a squat
                bend {p} legs deeply; keep squatting; do a knee bend; make a squat
                squat on both legs; bend at the knees; crouch and ~stand up again
                go down by bending both knees; perform a knee bend
            """),
        },
        told=phrases_of("a squat; squats; a knee bend; squatting; squat exercises"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                drop into a squat; dip down by bending {p} legs; hunker down and ~come up
                work out with knee bends; let {p} hips sink and ~come up; fold {p} knees deeply
                repeat squats; train {p} legs with squats
            """),
        },
        told=phrases_of("a deep bend of the knees; hips that sink and rise"),
    ),
)
_JUMP = Forms(
    train=Words(
        {
            "": phrases_of("""
                jump; jump up; jump in place; hop with both feet; jump up and down; leap up
                do jumps; jump with both legs; jump into the air; make a jump; hop; hop in place
                hop up and down; leap into the air; jump on the spot; keep jumping; do a jump
                jump with both feet; jump straight up; perform jumps; hop on both feet
                spring up; take a jump; bounce up and down; leap up and ~land again
                bend {p} knees and ~jump; jump and ~land on both feet; push off and ~jump
                jump vertically; jump off the ground; go up in a jump
            """),
        },
        told=phrases_of("a jump; jumps; a jump on the spot; jumping; a hop with both feet"),
    ),
    held_out=Words(
        {
            "": phrases_of("""
                bound upward; spring off the ground; leap on the spot; bounce on both feet
                launch {p} body upward; do vertical hops; take off from the floor
                skip up and down in one spot
            """),
        },
        told=phrases_of("a leap into the air; hops on the spot"),
    ),
)

ACTIONS = {
    "raise": _RAISE_ONE,
    "wave": _WAVE_ONE,
    "walk": _WALK,
    "run": _RUN,
    "sprint": _SPRINT,
    "turn": _TURN,
    "uturn": _UTURN,
    "circle": _CIRCLE,
    "diagonal": _DIAGONAL,
    "back": _BACK,
    "stand": _STAND,
    "bow": _BOW,
    "guide": _GUIDE,
    "call": _CALL,
    "kick": _KICK,
    "punch": _PUNCH,
    "slash": _SLASH,
    "dance": _DANCE,
    "squat": _SQUAT,
    "jump": _JUMP,
}
WITH_BOTH_HANDS = {"raise": _RAISE_BOTH, "wave": _WAVE_BOTH}
STANDING = ("raise", "wave", "bow", "guide", "call")
GAITS = ("walk", "run", "sprint", "back")


@dataclass(frozen=True)
class Style:
    """Words for a style: adverbs, ends of a sentence, what somebody of that style is, who that is.

    `states` come after "looking", `adjectives` before a noun, `subjects` with their possessives.
    """

    adverbs: Phrases
    phrases: Phrases
    adjectives: Phrases = ()
    states: Phrases = ()
    subjects: tuple[tuple[str, str], ...] = ()


_ELDERLY = Style(
    phrases_of("feebly; stiffly; weakly; carefully"),
    phrases_of("""
        like an old man; like an old woman; like an elderly person; with old bones
        like a grandfather; as if very old; in an elderly manner
    """),
    phrases_of("old; elderly; aged"),
    phrases_of("old; very old; elderly; frail"),
    (
        *(("an old man", "his"), ("an old woman", "her"), ("an elderly person", "their")),
        *(("an old person", "their"), ("an elderly man", "his"), ("a senior", "their")),
        *(("a grandpa", "his"), ("a grandma", "her")),
    ),
)
_EXHAUSTED = Style(
    phrases_of("tiredly; wearily; sluggishly; lazily"),
    phrases_of("""
        exhausted; out of energy; as if exhausted; looking tired; with heavy limbs
        like a tired person; as if very tired; without any strength
    """),
    phrases_of("tired; exhausted; weary; worn-out"),
    phrases_of("tired; exhausted; very tired; drained"),
    (("a tired person", "their"), ("an exhausted man", "his"), ("an exhausted person", "their")),
)
_ACTIVE = Style(
    phrases_of("energetically; actively; vigorously; powerfully"),
    phrases_of("""
        with a lot of energy; in an active way; with power; with great energy
        in an energetic manner; with vigor; bursting with energy
    """),
    phrases_of("energetic; active; lively"),
    phrases_of("energetic; lively; full of vigor; wide awake"),
    (("an energetic person", "their"), ("an active person", "their")),
)
_FEMININE = Style(
    phrases_of("gracefully; delicately; elegantly; softly"),
    phrases_of("in a feminine way; like a lady; with feminine grace; like an elegant woman"),
    phrases_of("graceful; feminine; elegant"),
    phrases_of("feminine; graceful; elegant; ladylike"),
    (("an elegant lady", "her"), ("a graceful woman", "her")),
)
_MASCULINE = Style(
    phrases_of("firmly; toughly; sturdily"),
    phrases_of("in a masculine way; like a tough man; in a manly way; like a strong man"),
    phrases_of("manly; masculine; tough"),
    phrases_of("manly; tough; strong"),
    (("a tough guy", "his"), ("a strong man", "his"), ("a macho man", "his")),
)
_YOUTHFUL = Style(
    phrases_of("youthfully; lightly; cheerily"),
    phrases_of("""
        like a young person; in a youthful way; like a teenager; with youthful energy
        full of youth; like a young adult
    """),
    phrases_of("young; youthful"),
    phrases_of("young; youthful; fresh"),
    (("a young man", "his"), ("a young woman", "her"), ("a teenager", "their")),
)
STYLES = {
    "normal": Style(
        phrases_of("normally; calmly; casually"),
        phrases_of("at ease; in a normal way; in a relaxed way; as usual"),
    ),
    "active": _ACTIVE,
    "elderly": _ELDERLY,
    "old": _ELDERLY,
    "exhausted": _EXHAUSTED,
    "tired": _EXHAUSTED,
    "feminine": _FEMININE,
    "masculine": _MASCULINE,
    "masculinity": _MASCULINE,
    "youthful": _YOUTHFUL,
    "angry": Style(
        phrases_of("angrily; furiously"),
        phrases_of("in anger; as if angry; full of rage"),
        phrases_of("angry; furious"),
        phrases_of("angry; mad; furious"),
        (("an angry man", "his"), ("an angry person", "their")),
    ),
    "childish": Style(
        phrases_of("childishly; playfully"),
        phrases_of("like a child; like a little kid; in a childish way"),
        phrases_of("childish; playful"),
        phrases_of("childish; playful; silly"),
        (("a child", "their"), ("a kid", "their"), ("a small child", "their")),
    ),
    "chimpira": Style(
        phrases_of("aggressively; cockily"),
        phrases_of("like a thug; like a gangster; with a swagger"),
        phrases_of("cocky; rough"),
        phrases_of("cocky; aggressive; rough"),
        (("a thug", "his"), ("a gangster", "his"), ("a punk", "his")),
    ),
    "giant": Style(
        phrases_of("heavily; ponderously"),
        phrases_of("like a giant; as if huge and heavy; as if enormous"),
        phrases_of("giant; huge"),
        phrases_of("huge; enormous; gigantic"),
        (("a giant", "his"), ("a huge monster", "its")),
    ),
    "happy": Style(
        phrases_of("happily; cheerfully; joyfully"),
        phrases_of("full of joy; in a good mood; as if very happy"),
        phrases_of("happy; cheerful"),
        phrases_of("happy; cheerful; joyful; delighted"),
    ),
    "musical": Style(
        phrases_of("rhythmically; theatrically"),
        phrases_of("to the rhythm of music; like in a musical; as if on stage"),
        phrases_of("musical"),
        phrases_of("theatrical; musical"),
    ),
    "not-confident": Style(
        phrases_of("timidly; hesitantly; shyly; nervously"),
        phrases_of("without confidence; as if afraid; lacking confidence"),
        phrases_of("shy; timid; insecure"),
        phrases_of("shy; unsure; insecure; nervous"),
    ),
    "proud": Style(
        phrases_of("proudly; confidently"),
        phrases_of("full of pride; with great pride"),
        phrases_of("proud; confident"),
        phrases_of("proud; confident; very sure"),
    ),
    "sad": Style(
        phrases_of("sadly; gloomily"),
        phrases_of("in a sad mood; as if depressed; feeling down"),
        phrases_of("sad; gloomy; depressed"),
        phrases_of("sad; unhappy; depressed; gloomy"),
    ),
}
STATES = Forms(  # clauses that tell a state
    train=phrases_of("""
        looking {state}; while looking {state}; like someone {state}; as if {state}
        the way someone {state} does; seeming {state}
    """),
    held_out=phrases_of("""
        obviously {state}; with the air of someone {state}; just as somebody {state} would
        clearly {state}; by all signs {state}
    """),
)


@dataclass(frozen=True)
class Pace:
    """Words for a pace: adverbs for before or after a verb, and what stands after it only."""

    adverbs: Phrases
    phrases: Phrases


PACES = {
    "slow": Pace(
        phrases_of("slowly; very slowly; slowly; unhurriedly"),
        phrases_of("at a slow pace; without hurry; at low speed; in no hurry"),
    ),
    "fast": Pace(
        phrases_of("quickly; rapidly; swiftly; quickly; briskly"),
        phrases_of("fast; at a fast pace; at high speed; at a quick pace"),
    ),
    "very slow": Pace(
        phrases_of("very slowly; extremely slowly; slowly; ever so slowly"),
        phrases_of("at a very slow pace; in slow motion; at a snail's pace"),
    ),
    "very fast": Pace(
        phrases_of("very quickly; extremely quickly; quickly; very rapidly"),
        phrases_of("very fast; at a very fast pace; at great speed; as fast as can be"),
    ),
}
SUBJECTS = (
    *(("a person", "their"), ("the person", "their"), ("someone", "their"), ("a man", "his")),
    *(("somebody", "their"), ("the man", "his"), ("a guy", "his"), ("a boy", "his")),
    *(("a woman", "her"), ("the woman", "her"), ("a girl", "her"), ("a lady", "her")),
    *(("he", "his"), ("she", "her"), ("a human", "their"), ("the figure", "the")),
    *(("a person", "their"), ("a man", "his"), ("a woman", "her"), ("one person", "their")),
)
PRONOUNS = {"his": "he", "her": "she", "its": "it", "the": "the figure", "their": "they"}
IN_PLACE = phrases_of("while standing; while standing still; in place; standing on the spot")
REPEATS = {
    2: phrases_of("twice; two times; and then once more; again and again; one time after another"),
    3: phrases_of("three times; three times in a row; again and again; repeatedly"),
    4: phrases_of("several times; many times; again and again; repeatedly; over and over"),
}

# Frames of a sentence with how often they come. {subject} is anybody, {noun} no pronoun, {one}
# somebody not told of before; the others are the verb phrase. Without one of the three, it is
# an order or a heading.
FRAMES = Forms(
    train={
        "{subject} {third}": 46,
        "{subject} is {gerund}": 13,
        "{noun} {gerund}": 6,
        "{base}": 8,
        "{gerund}": 6,
        "{subject} {past}": 4,
        "{subject} was {gerund}": 1,
        "{subject} will {base}": 0.6,
        "{subject} is about to {base}": 0.5,
        "{subject} is going to {base}": 0.5,
        "there is {one} {gerund}": 1.5,
        "there is {one} who {third}": 0.8,
        "this is {one} {gerund}": 0.7,
        "{noun} who {third}": 1,
        "{noun} who is {gerund}": 1,
        "{subject} can be seen {gerund}": 1,
        "we see {noun} {gerund}": 1,
        "we see how {subject} {third}": 0.5,
        "you can see {noun} {gerund}": 0.6,
        "the video shows {noun} {gerund}": 0.8,
        "a video of {noun} {gerund}": 0.7,
        "a motion of {noun} {gerund}": 0.8,
        "in this motion {subject} {third}": 0.6,
        "in this clip, {subject} is {gerund}": 0.5,
        "here {subject} {third}": 0.6,
        "here is {one} who is {gerund}": 0.5,
        "this is how {subject} {third}": 0.5,
        "what {subject} does is {base}": 0.4,
        "please {base}": 0.6,
        "show {noun} {gerund}": 0.7,
        "animate {noun} {gerund}": 0.5,
        "make {noun} {base}": 0.5,
    },
    held_out={
        "{subject} appears to be {gerund}": 3,
        "{subject} seems to be {gerund}": 2,
        "{subject} proceeds to {base}": 3,
        "{subject} has been {gerund}": 1,
        "{noun} that {third}": 2,
        "{noun} that is {gerund}": 2,
        "now {subject} {third}": 2,
        "watch {noun} {base}": 2,
        "look at {noun} {gerund}": 1,
        "let {noun} {base}": 2,
        "imagine {noun} {gerund}": 1,
        "one can observe {noun} {gerund}": 1,
        "the recording has {noun} {gerund}": 1,
        "an animation in which {subject} {third}": 2,
        "what happens is that {subject} {third}": 1,
        "go ahead and {base}": 1,
        "time to {base}": 1,
    },
)
# Actions in turn: {a}, {b} are told as {subject} does them, {b_ing} is a gerund; {they_b} is {b}
# with a pronoun before it. Of three and more, all but the last are in {a}.
SEQUENCES = Forms(
    train=(
        *("{subject} {a}, then {b}", "{subject} {a} and then {b}", "{subject} {a}, and next {b}"),
        *("{subject} {a} and {b} after that", "first {subject} {a}, then {b}"),
        *("{subject} {a}; afterwards {they_b}", "{subject} {a} before {they_b}"),
        *("{subject} {a}, after which {they_b}", "{subject} {a} and afterwards {b}"),
        *("{subject} {a}. then {they_b}", "{subject} {a} before {b_ing}"),
        *("{subject} {a}, followed by {b_ing}", "after {a_ing}, {subject} {b}"),
        *("at first {subject} {a}, later {they_b}", "{subject} {a}, and in the end {b}"),
    ),
    held_out=(
        *("to begin with, {subject} {a}, and eventually {b}", "{subject} {a} and, once done, {b}"),
        *("{subject} {a}, going over to {b_ing}", "{subject} {a}, whereupon {they_b}"),
        *("{subject} {a} and subsequently {b}", "{subject} {a}. later on, {they_b}"),
        *("having finished {a_ing}, {subject} {b}", "{subject} {a}; next up, {they_b}"),
    ),
)
CONTINUED = Forms(
    train=(
        *("{subject} {a}, then {b}", "{subject} {a}, {b}", "{subject} {a}, and then {b}"),
        *("{subject} {a}, and finally {b}", "first {subject} {a}, then {b}"),
    ),
    held_out=(
        *("{subject} {a} and eventually {b}", "to begin with, {subject} {a}, and lastly {b}"),
        *("{subject} {a}; last of all, {they_b}",),
    ),
)
SEQUENCE_FORMS = {"third": 82, "past": 9, "base": 9}  # of their verbs, with how often they come
# Legs and arms at once, with the form of the verb after the name. {shown} is what the arms show.
OVERLAYS = Forms(
    train=(
        *("{subject} {legs_third} while {arms_gerund}", "{subject} {arms_third} as {they_legs}"),
        *("{subject} {arms_third} while {legs_gerund}", "{subject} {legs_third} as {they_arms}"),
        *("{subject} {legs_third} and {arms_third} at the same time",),
        *("{subject} {legs_third} with {shown}", "with {shown}, {subject} {legs_third}"),
        *("{subject} is {legs_gerund} while {arms_gerund}", "{legs_gerund} and {arms_gerund}"),
        *("{subject} is {arms_gerund} while {legs_gerund}", "{legs_base} while {arms_gerund}"),
        *("while {legs_gerund}, {subject} {arms_third}", "{arms_base} while {legs_gerund}"),
        *("as {subject} {legs_third}, {they_arms}", "{subject} {legs_third}, {arms_gerund}"),
        *("{noun} {legs_gerund} with {shown}", "{noun} {legs_gerund} while {arms_gerund}"),
        *("{noun} {arms_gerund} while {legs_gerund}", "{legs_base} with {shown}"),
        *("{subject} {legs_past} while {arms_gerund}", "{subject} {legs_past} with {shown}"),
    ),
    held_out=(
        *("{subject} {legs_third}, all the while {arms_gerund}", "{shown}, {subject} {legs_third}"),
        *("{subject} {legs_third} and meanwhile {arms_third}", "{subject} {legs_third}, {shown}"),
        *("{subject} simultaneously {legs_third} and {arms_third}",),
        *("{subject} combines {legs_gerund} with {arms_gerund}",),
        *("{noun} that {legs_third} and also {arms_third}",),
        *("both {legs_gerund} and {arms_gerund} at once",),
        *("{subject} manages to {arms_base} even as {they_legs}",),
    ),
)
