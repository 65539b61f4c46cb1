"""The words for what CMU's recordings show, in the notation of `vocabulary`.

ACTIONS are told by the grammar of `captions`; CONTENTS lead from CMU's descriptions, which are
terse lists, to them, and say by which measured events each one can be found in a recording.
"""

from __future__ import annotations

from dataclasses import dataclass

from motionmamba.data.text.vocabulary import Forms, Words, phrases_of


def _forms(train: str, told: str, held_out: str, held_out_told: str, sided: str = "") -> Forms:
    """`sided` are phrases with a side that is told where one hand is known to act."""
    phrases = {"": phrases_of(train)} | ({"sided": phrases_of(sided)} if sided else {})
    return Forms(
        train=Words(phrases, told=phrases_of(told)),
        held_out=Words({"": phrases_of(held_out)}, told=phrases_of(held_out_told)),
    )


def _seat(seat: str) -> dict[str, Forms]:
    """Staying on a seat, taking it, and leaving it."""
    return {
        "": _forms(
            f"""
            stay seated on {seat}; remain seated on {seat}; keep sitting on {seat}
            rest on {seat}; stay on {seat} sitting; stay sitting on {seat}; have a rest on {seat}
            """,
            f"a person sitting on {seat}; somebody seated on {seat}; sitting on {seat}",
            f"""
            remain in a sitting position on {seat}; relax on {seat} while sitting
            wait on {seat} without getting up
            """,
            f"a seated person on {seat}; {seat} with somebody sitting on it",
        ),
        "_down": _forms(
            f"""
            take a seat on {seat}; settle down on {seat}; lower {{p}} body onto {seat}
            go down to sit on {seat}; bend {{p}} knees to sit down on {seat}
            settle onto {seat}; turn and ~take a seat on {seat}
            """,
            f"a person sitting down on {seat}; somebody takes a seat on {seat}",
            f"""
            ease {{p}} body down onto {seat}; come to sit on {seat}; drop into a seat on {seat}
            """,
            f"somebody going from standing to sitting on {seat}; down onto {seat}",
        ),
        "_up": _forms(
            f"""
            stand up from {seat}; rise from {seat}; stand up; rise to {{p}} feet
            stand up again; come up from {seat}; move off {seat}
            """,
            f"a person standing up from {seat}; somebody rises from {seat}; standing up",
            f"""
            push up from {seat} to stand; return to {{p}} feet; lift {{p}} body off {seat}
            """,
            f"somebody going from sitting on {seat} to standing",
        ),
    }


_SEATS = {"sit": "something", "stool": "a stool", "high_stool": "a high stool", "chair": "a chair"}
ANIMALS = (
    *("bear", "cat", "chicken", "dinosaur", "dog", "dragon", "elephant", "fish", "ghost"),
    *("hummingbird", "monkey", "mouse", "penguin", "prairie dog", "praying mantis", "pterosaur"),
    *("roadrunner", "snake", "squirrel", "tyrannosaurus", "whale", "panda", "genie", "cow"),
    *("horse", "tiger", "gorilla", "panther", "chipmunk", "ant", "insect", "animal"),
)


def _animal(animal: str) -> Forms:
    a = f"{'an' if animal[0] in 'aei' else 'a'} {animal}"
    return _forms(
        f"""
        act like {a}; pretend to be {a}; imitate {a}; move like {a}; mime {a}
        behave like {a}; play {a}; act out {a}; act as if {{p}} body was that of {a}
        """,
        f"a person acting like {a}; a mime of {a}; somebody pretends to be {a}; {a} impression",
        f"""
        impersonate {a}; emulate {a}; take on the role of {a}; copy how {a} moves
        """,
        f"somebody in the role of {a}; a performance as {a}",
    )


def _strikes(name: str, names: str, doing: str) -> Forms:
    """A technique of karate that is practised."""
    return _forms(
        f"""
        practice {names}; do {names}; perform {names}; do karate, practicing {names}
        {doing}; train {names}; show a karate {name}; do a {name}
        """,
        f"karate practice of {names}; {names}; a karate {name}; a person practicing {names}",
        f"""
        repeat {names} as a karate exercise; rehearse {names}; demonstrate a {name}
        """,
        f"a martial artist practicing {names}; drills of {names}",
    )


_DANCES = {
    "salsa": ("salsa", "salsa steps", "to salsa music"),
    "charleston": ("the charleston", "charleston steps", "to music of the twenties"),
    "indian_dance": ("an Indian dance", "the steps of an Indian dance", "to Indian music"),
    "russian_dance": ("a Russian dance", "the steps of a Russian dance", "to Russian music"),
    "lambada": ("the lambada", "lambada steps", "to lambada music"),
    "lindy_hop": ("the lindy hop", "lindy hop steps", "to swing music"),
}


def _dance(dance: str, steps: str, music: str) -> Forms:
    return _forms(
        f"""
        dance {dance}; do {steps}; perform {dance}; move {music}; dance {music}
        practice {dance}; do {dance}; keep dancing {dance}
        """,
        f"{dance}; a person dancing {dance}; somebody dances {dance}; {steps}",
        f"""
        show off {dance}; step {music}; present {dance}; go through {steps}
        """,
        f"a dancer doing {dance}; {steps} by a dancer",
    )


ACTIONS: dict[str, Forms] = {
    # going
    "side_steps": _forms(
        """
        walk sideways to the {s}; step to the {s}; make a sidestep to the {s}
        move sideways to the {s}; take steps to the {s}; go sideways to the {s}
        walk to the {s} side; step sideways {s}
        """,
        "side steps to the {s}; a walk sideways to the {s}; steps to the {s} side",
        "shuffle sideways to the {s}; move {s} with side steps; proceed to the {s} side",
        "lateral steps to the {s}; footsteps leading off to the {s} side",
    ),
    "veer": _forms(
        """
        walk forward and ~veer {s}; veer to the {s} while walking; walk, veering {s}
        walk and ~veer slightly to the {s}; walk along a slight curve to the {s}
        walk and ~drift to the {s}; curve slightly {s} while walking; walk and ~bear {s}
        """,
        "a walk that veers {s}; a slight curve to the {s}; a walk with a slight {s} turn",
        """
        follow a gentle {s} curve on foot; go forward, bending a little to the {s}
        swerve gently {s} during a walk
        """,
        "footsteps that bend a little to the {s}; a path that leans {s}",
    ),
    "run_veer": _forms(
        """
        run forward and ~veer {s}; veer to the {s} while running; run, veering {s}
        run and ~veer slightly to the {s}; run along a slight curve to the {s}
        jog and ~veer {s}; curve slightly {s} while running; run and ~bear {s}
        """,
        "a run that veers {s}; a run along a curve to the {s}; a run with a slight {s} turn",
        """
        follow a gentle {s} curve at a run; run ahead, bending a little to the {s}
        swerve {s} during a run
        """,
        "running steps that bend a little to the {s}; a jog that leans {s}",
    ),
    "run_turn": _forms(
        """
        run and ~turn {s}; run and ~turn to the {s}; run forward and ~make a {s} turn
        turn {s} while running; run around a corner to the {s}; run a {s} turn
        jog and ~turn {s}; run and ~change direction to the {s}; run in a curve to the {s}
        run forward, then ~turn {s}
        """,
        "a run with a turn to the {s}; a {s} turn while running; a run around a {s} corner",
        """
        dash around a {s} bend; go {s} at a corner running; run an arc to the {s}
        steer {s} at a run
        """,
        "a curved run to the {s}; running steps that swing {s}",
    ),
    "run_uturn": _forms(
        """
        run and ~turn around to the {s}; turn around while running; run a half circle to the {s}
        run and ~make a u-turn to the {s}; run forward, ~turn around and ~run back
        jog and ~turn back to the {s}; run and ~come back in a curve to the {s}
        """,
        "a run with a u-turn to the {s}; a run there and back; a half circle at a run",
        "reverse direction to the {s} while running; loop back to the {s} at a run",
        "running steps that lead back; a run that reverses to the {s}",
    ),
    "run_circle": _forms(
        """
        run in a circle; run around in a circle to the {s}; run in circles, turning {s}
        jog in a circle; run a full circle to the {s}; run round and round
        """,
        "a run in a circle; a circle at a run; a full circle to the {s}, running",
        "complete a loop to the {s} at a run; circle to the {s} with running steps",
        "running steps around a circle; a loop at a run",
    ),
    "pivot": _forms(
        """
        turn {s} on the spot; turn to the {s}; turn in place to the {s}; rotate {p} body {s}
        turn {s} without walking; step around to the {s}; face to the {s}
        """,
        "a turn to the {s} on the spot; a {s} turn in place; turning {s}",
        "pivot to the {s}; swivel {s} in place; change where {p} body faces, to the {s}",
        "a quarter turn to the {s} on the spot; a body that swivels {s}",
    ),
    "turn_around": _forms(
        """
        turn around; turn around to the {s}; turn around on the spot; turn to face the other way
        turn all the way around; turn back to the {s}; turn around in place
        """,
        "a turn around to the {s}; turning around; a half turn on the spot",
        "reverse where {p} body faces; pivot halfway around to the {s}; face about to the {s}",
        "a body that turns to the opposite side; an about-face to the {s}",
    ),
    "twirl": _forms(
        """
        turn in a full circle on the spot; turn around and around; twirl to the {s}
        turn round and round to the {s}; rotate all the way around; whirl around to the {s}
        """,
        "a twirl to the {s}; a full turn on the spot; turning round and round",
        "pirouette to the {s}; revolve on the spot; make a whole revolution to the {s}",
        "a full rotation to the {s}; a body that revolves",
    ),
    "wander": _forms(
        """
        walk around; walk here and there; walk around, turning now and then; walk about the room
        walk around in various directions; walk and ~turn several times; stroll around
        keep walking and turning; walk in one direction after another
        """,
        "a walk around the room; walking here and there; a walk with several turns",
        "wander about; roam around on foot; meander through the room",
        "footsteps all over the place; somebody on a ramble",
    ),
    "stop": _forms(
        """
        make a stop; come to a stop; come to a halt; halt; halt and ~stand still
        slow down to a stop; end up standing; come to rest
        """,
        "a stop; a halt; standing still at the end",
        "cease moving; come to a standstill; pause and ~remain standing",
        "a standstill; a body at rest after moving",
    ),
    "sneak": _forms(
        """
        walk stealthily; sneak forward; sneak along; walk in a sneaky way; go along on tiptoe
        walk as if not to be heard; walk carefully and quietly; sneak ahead on bent knees
        sneak up on somebody
        """,
        "a stealthy walk; sneaking; a person sneaking along; a quiet, careful walk",
        "skulk forward; move along without a sound; prowl ahead; advance in secret",
        "a furtive walk; somebody who does not want to be heard",
    ),
    "zombie": _forms(
        """
        walk like a zombie; stagger along like a zombie; do a zombie walk
        walk with {p} arms held out like a zombie; move like the undead; shuffle like a zombie
        walk stiffly with outstretched arms; act like a zombie
        """,
        "a zombie walk; a person walking like a zombie; a zombie; walking like the undead",
        "lurch ahead like a zombie; imitate a zombie on foot; stagger with {p} arms in front",
        "a lurching zombie; somebody undead on the move",
    ),
    "uneven": _forms(
        """
        walk on uneven terrain; walk over uneven ground; walk over rough ground
        step carefully over uneven ground; walk across bumpy terrain; walk up and down over bumps
        make {p} way over uneven terrain; climb over uneven ground on foot
        """,
        "a walk on uneven terrain; walking over rough ground; steps over uneven ground",
        "cross rugged terrain; pick {p} way over bumpy ground; hike over rough terrain",
        "a hike across rugged ground; footsteps on rocky terrain",
    ),
    "duck_under": _forms(
        """
        duck under something; duck down to pass underneath; bend down and ~pass under something
        stoop to go under something; crouch to get under an obstacle; go underneath something
        duck underneath an obstacle; move along while crouching
        """,
        "ducking under an obstacle; a duck under a low bar; a person passing underneath something",
        "dip below an obstacle; hunch down to clear a low bar; squeeze under something low",
        "a low passage under something; a crouched body going underneath",
    ),
    "run_over": _forms(
        """
        run over something; run and ~step over an obstacle; run across something high
        climb over an obstacle at a run; run up and over something
        """,
        "a run over an obstacle; running over something",
        "clear an obstacle at a run; hurry over something in the way",
        "an obstacle passed at a run",
    ),
    "dive_roll": _forms(
        """
        dive over something and ~roll; dive forward and ~roll on the ground; do a diving roll
        dive to the ground and ~roll over; leap headlong and ~roll off
        """,
        "a dive and a roll; a diving roll over something; a roll on the ground after a dive",
        "plunge forward into a roll; throw {p} body over something and ~roll",
        "a headlong plunge that ends in a roll",
    ),
    "side_step": _forms(
        """
        make a sidestep to the {s}; step aside to the {s}; dodge to the {s}; jump aside to the {s}
        make a side step to the {s}
        """,
        "a side step to the {s}; a dodge to the {s}",
        "swerve aside to the {s}; evade something with a step {s}",
        "an evasive step to the {s}",
    ),
    # jumping
    "jumps": _forms(
        """
        jump several times; jump repeatedly; jump again and again; do several jumps
        jump one time after another; keep jumping; do jump after jump; perform several jumps
        """,
        "several jumps; jumps in a row; a series of jumps; repeated jumps",
        "bound up repeatedly; spring off the ground again and again; link jumps together",
        "one leap after another; a chain of jumps",
    ),
    "jump_forward": _forms(
        """
        jump forward; jump forward with both legs; leap forward; do a forward jump; jump ahead
        take a jump forward; crouch and ~jump forward; push off and ~jump forward
        make a jump to the front
        """,
        "a forward jump; a jump ahead; a leap forward; a person jumping forward",
        "bound ahead; spring forward off both feet; launch {p} body forward",
        "a bound to the front; a standing long jump",
    ),
    "jump_high": _forms(
        """
        jump high; jump up high; jump as high as possible; do a high jump; leap high into the air
        crouch and ~jump up high; jump straight up, very high; make a high jump
        """,
        "a high jump; a jump high into the air; a person jumping high",
        "soar upward in a jump; spring far off the ground; reach great height in a leap",
        "a soaring leap; a leap of great height",
    ),
    "jump_turn": _forms(
        """
        jump and ~turn in the air; jump up and ~turn around; jump, turning in the air
        do a jump with a turn; leap up and ~twist around; do a turning jump
        """,
        "a jump with a turn; a turn in the air; a person turning in a jump",
        "rotate while jumping; spring up and ~land facing elsewhere",
        "an airborne turn; a leap with a rotation",
    ),
    "jump_grab": _forms(
        """
        jump up to grab something; jump and ~reach up; jump for something high up
        leap up with raised hands to catch something; jump up, reaching high
        """,
        "a jump to grab something; jumping for something overhead",
        "spring up after something high; bound upward, hands first",
        "a leap for something out of reach",
    ),
    "hop": _forms(
        """
        hop on one foot; hop on one leg; jump on one leg; do hops on one foot; jump on one foot
        keep hopping on one leg; hop up and down on one foot
        """,
        "hops on one foot; a one-legged hop; hopping on one leg",
        "bounce along on a single leg; spring off one foot alone; bounce on one foot",
        "a bounce on one leg; a one-footed spring",
        """
        hop on the {s} foot; hop on {p} {s} leg; hop on one leg, the {s} one
        do hops on the {s} foot; jump on the {s} foot
        """,
    ),
    "leap": _forms(
        """
        leap forward; take a leap; leap into the air; leap ahead; jump off one leg and ~sail ahead
        make a big leap; jump over something; leap over something; jump with a long stride
        """,
        "a leap; a big leap forward; a leap off one leg; a running jump",
        "bound over something; sail through the air in a stride; vault ahead off one foot",
        "a flying stride; a bound through the air",
    ),
    "drop": _forms(
        """
        jump down; drop to the ground; jump down to the ground; let go and ~land on {p} feet
        jump off and ~land; come down with a jump; leap down
        """,
        "a jump down; a drop to the ground; landing after a drop",
        "plunge down onto {p} feet; spring off and ~touch down; descend with one jump",
        "a landing from above; a leap to the ground",
    ),
    # climbing and play
    "climb": _forms(
        """
        climb; climb around; climb on something; hold on and ~climb; climb on a frame
        climb with hands and feet; climb over bars; hold onto something above the ground
        """,
        "a climb; climbing; a person climbing; a climb off the ground",
        "clamber about; scramble around on bars; move about high off the ground",
        "a clambering person; somebody up on the bars",
    ),
    "climb_up": _forms(
        """
        climb up; climb onto something; climb up something; step up and ~climb
        climb up with hands and feet; climb higher; pull up and ~climb on
        """,
        "a climb up; climbing up; a person climbing onto something",
        "ascend hand over foot; clamber up; scramble upward",
        "an ascent with hands and feet",
    ),
    "climb_down": _forms(
        """
        climb down; climb back down; climb down to the ground; step down
        climb off something; lower {p} body to the ground; come down from something
        """,
        "a climb down; climbing down; a person getting down",
        "descend with care; clamber down; return to the ground from above",
        "a descent to the ground",
    ),
    "perch": _forms(
        """
        stay seated high up with dangling legs; dangle {p} legs; dangle {p} legs while sitting
        rest high up with {p} legs dangling; stay seated above the ground; let {p} legs dangle
        """,
        "sitting with dangling legs; a person seated high up; legs that dangle",
        "perch high up; rest on a bar with {p} feet off the ground",
        "somebody perched on a bar; feet that swing above the ground",
    ),
    "playground": _forms(
        """
        play on a playground; climb on a jungle gym; play on a climbing frame
        climb around on playground equipment; play on the monkey bars; use a jungle gym
        have fun on a playground; play on climbing bars
        """,
        "playing on a playground; a person on a jungle gym; play on a climbing frame",
        "enjoy a jungle gym; clamber about on a playground; exercise on climbing bars",
        "a playful person on climbing bars; fun at the playground",
    ),
    "play": _forms(
        """
        play on a playground; play as on a playground; play outside; jump and ~run around in play
        have fun on a playground; play around
        """,
        "playing on a playground; play; a person at play",
        "romp about; enjoy a playground; caper about",
        "somebody romping about; playtime",
    ),
    "ladder": _forms(
        """
        climb a ladder; climb on a ladder; climb a ladder up and down; go up and down a ladder
        step from rung to rung; use a ladder; climb the rungs of a ladder
        """,
        "a climb on a ladder; climbing a ladder; a person on a ladder; steps on a ladder",
        "scale a ladder; make {p} way along the rungs; ascend and ~descend a ladder",
        "somebody on the rungs; a trip up and down a ladder",
    ),
    "ladder_up": _forms(
        """
        climb up a ladder; go up a ladder; step up from rung to rung; climb a ladder
        walk to a ladder and ~climb it; climb to the top of a ladder
        """,
        "a climb up a ladder; climbing up a ladder; a person going up a ladder",
        "ascend a ladder; scale a ladder rung by rung; mount a ladder",
        "an ascent on a ladder; steps that lead up the rungs",
    ),
    "ladder_down": _forms(
        """
        climb down a ladder; go down a ladder; step down from rung to rung
        climb back down a ladder; come down a ladder; climb down the rungs of a ladder
        """,
        "a climb down a ladder; climbing down a ladder; a person going down a ladder",
        "descend a ladder; return to the ground rung by rung; dismount from a ladder",
        "a descent on a ladder; steps that lead down the rungs",
    ),
    "steps": _forms(
        """
        climb some steps; walk up and down steps; walk over a few steps; go up steps and ~come down
        use the stairs; climb a few steps; walk on a short staircase
        """,
        "a walk on steps; steps up and down; a person on a short staircase",
        "negotiate a short staircase; ascend and ~descend a few stairs",
        "a staircase of a few steps; feet on the stairs",
    ),
    "steps_up": _forms(
        """
        climb some steps; walk up steps; go up a few steps; climb up three steps; walk upstairs
        step up several times; climb a short staircase
        """,
        "a climb up some steps; walking up steps; a person going up stairs",
        "ascend a few stairs; mount a short staircase; proceed upstairs",
        "an ascent of a few stairs; feet that go up the stairs",
    ),
    "steps_down": _forms(
        """
        walk down steps; go down a few steps; climb down three steps; walk downstairs
        step down several times; come down a short staircase
        """,
        "a walk down some steps; walking down steps; a person going down stairs",
        "descend a few stairs; return downstairs; proceed down a staircase",
        "a descent of a few stairs; feet that go down the stairs",
    ),
    # gymnastics
    "exercise": _forms(
        """
        exercise; do exercises; work out; do gymnastics; warm up with exercises; do sports
        do fitness exercises; train {p} body; do physical exercise
        """,
        "exercises; a workout; a person exercising; gymnastics; fitness training",
        "go through a workout; stay fit with exercises; do calisthenics",
        "a fitness routine; calisthenics; somebody in training",
    ),
    "jack": _forms(
        """
        do jumping jacks; perform jumping jacks; do a few jumping jacks; exercise with jumping jacks
        jump while clapping the hands overhead; jump, spreading arms and legs
        do jumping jacks to warm up; keep doing jumping jacks
        """,
        "jumping jacks; a person doing jumping jacks; a set of jumping jacks",
        "do star jumps; work out with jumping jacks; complete some jumping jacks",
        "star jumps; arms and legs that spread with each jump",
    ),
    "jog_in_place": _forms(
        """
        jog in place; run in place; jog on the spot; run on the spot; jog without moving ahead
        keep jogging in place; do running steps on the spot
        """,
        "a jog in place; running on the spot; a person jogging in place",
        "do a trot on the spot; do a stationary run; bounce from foot to foot",
        "a stationary jog; feet that run on the spot",
    ),
    "march": _forms(
        """
        lift {p} knees high in turn; raise {p} knees one after the other; march in place
        march on the spot with high knees; lift one knee after the other; do high knees
        bring up {p} knees in turn
        """,
        "high knees; a march in place; knees lifted in turn; marching on the spot",
        "pump {p} knees up; step on the spot with lifted knees; alternate high knees",
        "a stationary march; knees that go up in turn",
    ),
    "twist": _forms(
        """
        twist {p} upper body from side to side; turn {p} trunk left and right; do side twists
        rotate {p} torso to both sides; twist at the waist; do torso twists
        turn {p} shoulders from side to side
        """,
        "side twists; twists of the upper body; torso twists; a trunk turning from side to side",
        "swivel {p} torso to either side; swing {p} waist from side to side; do trunk rotations",
        "trunk rotations; shoulders that swivel to either side",
    ),
    "toe_touch": _forms(
        """
        bend over; bend down at the waist; bend {p} upper body down; bend forward
        bend down to touch {p} toes; reach down to the feet; bend over with {p} arms hanging
        """,
        "bending over; a bend at the waist; a person bending down; a bend toward the toes",
        "fold {p} body at the hips; lean far down; hinge forward at the waist",
        "a deep forward fold; a torso that goes down",
    ),
    "reach_up": _forms(
        """
        reach up; reach up high; reach up with both hands; stretch {p} arms up
        reach for something overhead; raise {p} arms and ~stretch
        """,
        "a reach up; reaching overhead; a stretch with both arms up",
        "extend {p} arms skyward; strain upward with both arms",
        "arms that strain upward; an overhead stretch",
    ),
    "reach_high": _forms(
        """
        reach up for something on tiptoe; reach up high to grab something
        reach for something high; stretch up on tiptoe; reach for something on a high shelf
        stretch to grab something overhead
        try to reach something high up; reach overhead with {p} hands
        """,
        "reaching for something high; a stretch up on tiptoe; a person grabbing things overhead",
        "strain to get something from above; extend {p} arms to something out of reach",
        "hands after something out of reach; somebody on tiptoe, arms overhead",
    ),
    "range_of_motion": _forms(
        """
        move all joints through their range of motion; bend and ~turn each limb in turn
        do a range of motion exercise; move {p} arms and legs in all directions
        warm up all joints; stretch and ~turn {p} limbs; loosen up arms and legs
        """,
        "a range of motion exercise; limbs moved in all directions; all joints moved in turn",
        "test how far each limb moves; exercise every joint; flex arms and legs one by one",
        "a body that flexes every joint; a flexibility routine",
    ),
    "cartwheel": _forms(
        """
        do a cartwheel; perform a cartwheel; turn a cartwheel; make a cartwheel
        step forward and ~do a cartwheel; do a cartwheel on both hands
        """,
        "a cartwheel; a person doing a cartwheel; a sideways wheel on the hands",
        "wheel sideways over {p} hands; execute a cartwheel; turn head over heels to the side",
        "a wheel over the hands; an acrobatic wheel",
    ),
    "cartwheels": _forms(
        """
        do cartwheels; perform two cartwheels; turn cartwheels; do one cartwheel after another
        do two cartwheels in a row
        """,
        "cartwheels; a person doing cartwheels; two cartwheels in a row",
        "wheel sideways over {p} hands repeatedly; execute cartwheels",
        "wheels over the hands; a series of acrobatic wheels",
    ),
    "ropes": _forms(
        """
        do acrobatics on ropes; dangle from ropes and ~twirl; twirl while holding onto ropes
        hold on to ropes and ~whirl around; perform acrobatics; swing from ropes
        """,
        "acrobatics on ropes; a person twirling on ropes; an aerial performance",
        "revolve on ropes like an acrobat; perform in the air on ropes",
        "an acrobat on ropes; an aerial whirl",
    ),
    "balance": _forms(
        """
        balance on one leg; stand on one leg; balance with outstretched arms
        balance on one leg with {p} arms stretched out; keep {p} balance on one foot
        hold {p} balance; stand on one foot without falling
        """,
        "a balance on one leg; a person balancing; standing on one leg with outstretched arms",
        "stay upright on a single leg; poise {p} body on one foot; try not to tip over",
        "a one-legged pose; somebody poised on a single foot",
    ),
    # dance
    **{kind: _dance(*words) for kind, words in _DANCES.items()},
    "ballet": _forms(
        """
        dance; perform a slow dance; dance expressively; dance with {p} arms held high
        move slowly like a dancer; dance ballet; hold a dance pose and ~move into the next
        do modern dance; go from one dance pose into another
        """,
        "a slow dance; expressive dance; a dancer; a ballet pose; a dancer moving slowly",
        "present an expressive dance; glide through dance poses; shift from pose to pose",
        "a dancer on stage; an artistic dance",
    ),
    "dance_pose": _forms(
        """
        hold a dance pose; stand still in a dance pose; keep a pose like a dancer
        stay in a dance pose with {p} head lowered; hold a pose
        """,
        "a dance pose; a dancer holding a pose; a still pose",
        "stay frozen in a dance pose; remain posed like a dancer",
        "a motionless dancer; a frozen pose",
    ),
    # fight
    "boxing": _forms(
        """
        box; box with both fists; do boxing; throw punches; punch and ~dodge like a boxer
        fight with {p} fists; do shadow boxing; practice boxing; throw jabs and hooks
        duck and ~punch like a boxer
        """,
        "boxing; shadow boxing; a boxer; a person boxing; punches and dodges",
        "spar like a boxer; trade blows with an unseen opponent; duck and ~throw hooks",
        "a sparring boxer; fists that fly; a bout against nobody",
    ),
    "strike": _forms(
        """
        punch; punch with {p} fists; throw punches; strike with {p} hands; punch and ~strike
        punch the air; hit out with both fists; practice punches and strikes
        """,
        "punches and strikes; a person punching; strikes with the fists",
        "land blows; strike out at the air; deliver some punches",
        "blows with both fists; somebody dealing blows",
    ),
    "martial": _forms(
        """
        practice jumps, kicks and punches; do martial arts; kick and ~punch; jump, ~kick and ~punch
        do martial arts moves; throw kicks and punches; train martial arts; fight in the air
        """,
        "jumps, kicks and punches; martial arts moves; a person kicking and punching",
        "spar with kicks and blows; rehearse a fight; demonstrate fighting moves",
        "a martial artist; kicks and blows at the air",
    ),
    "swordplay": _forms(
        """
        swing a sword; fight with a sword; do swordplay; swing a sword with both hands
        practice with a sword; slash with a sword; wield a sword; do sword strokes
        slash the air with a sword
        """,
        "swordplay; a person swinging a sword; sword fighting; strokes with a sword",
        "brandish a sword; fence with a long blade; slice through the air with a blade",
        "a swordsman; a blade that cuts the air",
    ),
    "kata": _forms(
        """
        perform a karate kata; do karate; do a karate form; practice karate; do a kata
        perform karate moves; show a karate form with punches and blocks; do martial arts
        """,
        "a karate kata; a karate form; a person doing karate; karate moves",
        "rehearse a kata; present a sequence of karate techniques; demonstrate karate",
        "a karate fighter; a martial arts form; blocks and blows of karate",
    ),
    "front_kick": _strikes("front kick", "front kicks", "kick forward"),
    "roundhouse_kick": _strikes("roundhouse kick", "roundhouse kicks", "kick around to the side"),
    "side_kick": _strikes("side kick", "side kicks", "kick to the side"),
    "low_block": _strikes("low block", "low blocks", "block downward with one arm"),
    "lunge_punch": _strikes("lunge punch", "lunge punches", "step forward and ~punch"),
    "knife_hand": _strikes("knife-hand block", "knife-hand blocks", "block with an open hand"),
    # daily life
    "wash_self": _forms(
        """
        wash; wash {p} body; wash as in a shower; wash all over; take a shower
        wash {p} arms and legs; mime washing; soap {p} body
        """,
        "a person washing; a mimed shower; washing the whole body",
        "scrape dirt off {p} body; clean {p} limbs; lather up all over",
        "a mimed bath; somebody getting clean",
    ),
    "wash_windows": _forms(
        """
        wash windows; clean a window; wipe a window; wash a window pane; clean the windows
        wipe a window with a cloth; wash a big window; polish a window
        """,
        "window washing; a person cleaning windows; a window being wiped",
        "polish window panes; remove dirt from a window; make a window shine",
        "a window cleaner at work; wiping of glass",
        """
        wash a window with {p} {s} hand; wipe a window using the {s} hand
        clean a window with the {s} arm
        """,
    ),
    "mop": _forms(
        """
        clean the floor with a mop; wipe the floor; push a mop around; push a mop over the floor
        use a mop on the floor; wash the floor; pull a mop back and forth
        """,
        "floor cleaning with a mop; a person with a mop; the floor is being wiped",
        "make the floor shine; work a mop back and forth; remove dirt from the floor",
        "a cleaner with a mop; housework on the floor",
    ),
    "sweep_floor": _forms(
        """
        clean the floor with a broom; use a broom; push a broom over the floor
        move a broom back and forth; clear the floor with a broom
        """,
        "floor sweeping; a person with a broom; sweeping the floor",
        "work a broom over the ground; gather dust with a broom",
        "a cleaner with a broom; housework with a broom",
    ),
    "scoop": _forms(
        """
        bend over, ~scoop something up and ~raise an arm; squat down, ~scoop up and ~lift an arm
        scoop something up from the ground and ~hold it up; bend down, ~rise and ~lift an arm
        pick something up and ~lift it high; crouch, ~come up and ~raise one hand
        """,
        "bending over, scooping up and lifting an arm; something scooped up and lifted",
        "gather something from the floor and ~lift it; dip down and ~come up with a raised arm",
        "a scoop from the ground to overhead; down to the floor and up again",
        """
        bend over, ~scoop something up and ~raise the {s} arm
        squat down and ~come up, lifting {p} {s} hand
        """,
    ),
    "drink_soda": _forms(
        """
        take a drink from a bottle; take a drink; take a drink of soda; take a sip of soda
        raise a bottle to {p} mouth; have a drink from a bottle; gulp some soda
        """,
        "a drink of soda; a person drinking from a bottle; a sip from a bottle",
        "quench {p} thirst; empty a bottle of soda; tip a bottle to {p} lips",
        "a thirsty person; a bottle lifted to the lips",
        """
        take a drink with the {s} hand; take a sip of soda with {p} {s} hand
        lift a bottle to {p} mouth with the {s} hand
        """,
    ),
    "screw": _forms(
        "screw the cap on a bottle; close a bottle; put the cap back on; screw on a bottle cap",
        "a bottle being closed; a cap screwed on",
        "fasten a bottle cap; seal a bottle",
        "a cap that is fastened",
    ),
    "unscrew": _forms(
        "unscrew a bottle cap; open a bottle; take the cap off; unscrew the cap of a bottle",
        "a bottle being opened; a cap unscrewed",
        "loosen a bottle cap; remove the cap from a bottle",
        "a cap that is removed",
    ),
    "laugh": _forms(
        """
        laugh; laugh out loud; laugh hard; laugh with {p} whole body; laugh at something funny
        start laughing out loud; laugh heartily, bending over; laugh and ~throw up {p} arms
        """,
        "laughter; a person laughing; a hearty laugh; somebody laughs out loud",
        "crack up; roar with laughter; double over laughing; chuckle heartily",
        "a burst of laughter; somebody in stitches",
    ),
    "traffic": _forms(
        """
        direct traffic; direct traffic with hand signals; wave and ~point to direct traffic
        act like a traffic policeman; guide cars with {p} arms; signal to cars with both arms
        wave and ~point with {p} arms; halt and ~wave on the traffic
        """,
        "directing traffic; a traffic policeman; a person directing cars; traffic signals by hand",
        "conduct the traffic; manage cars with gestures; signal drivers where to go",
        "an officer at a crossing; gestures for drivers",
    ),
    "swing_legs": _forms(
        "swing {p} legs while sitting; swing {p} legs; let {p} legs swing",
        "legs that swing; a person swinging the legs",
        "kick {p} legs back and forth on a seat; rock {p} legs",
        "legs that rock back and forth",
    ),
    "look_around": _forms(
        """
        look around; look to both sides; turn {p} head and ~look; look here and there
        gaze around
        """,
        "a look around; a person looking around",
        "search the surroundings by eye; glance about; survey the room",
        "eyes that search the room",
    ),
    # mime
    "teapot": _forms(
        """
        act out a nursery rhyme; mime the teapot rhyme; act like a little teapot
        tip over like a teapot; perform the rhyme of the little teapot
        play a teapot with one hand on the hip; imitate a teapot
        """,
        "the rhyme of the little teapot; a person playing a teapot; a teapot with handle and spout",
        "present a nursery rhyme; impersonate a teapot; pour like a teapot",
        "a nursery rhyme with gestures; somebody as a teapot",
    ),
    "rhyme": _forms(
        """
        act out a nursery rhyme; mime a nursery rhyme; present a rhyme with gestures
        perform a nursery rhyme; gesture to a nursery rhyme
        """,
        "a nursery rhyme with gestures; a person miming a rhyme",
        "narrate a nursery rhyme; recite a rhyme with {p} hands",
        "a rhyme told by gestures",
    ),
    "referee": _forms(
        """
        give basketball signals; signal like a basketball referee; act like a referee
        make the hand signals of a referee; show the signals of basketball
        gesture like a basketball referee; give hand signals
        """,
        "basketball signals; a referee; a person giving hand signals; signals of a referee",
        "officiate at a basketball game; call fouls by hand; indicate fouls and points",
        "a basketball official; hand signs for a game",
    ),
    "vacation": _forms(
        """
        share a story with gestures; mime a story; act out a vacation in Alaska; mime a vacation
        gesture while telling a story; act out a story with {p} hands
        talk about a vacation with {p} hands; perform a pantomime
        """,
        "a story told with gestures; a pantomime; a person miming a vacation in Alaska",
        "narrate with {p} hands; depict a trip to Alaska; enact a travel story",
        "a silent storyteller; a travel story in gestures",
    ),
    **{f"animal_{animal}": _animal(animal) for animal in ANIMALS},
    **{
        f"{kind}{end}": forms for kind, seat in _SEATS.items() for end, forms in _seat(seat).items()
    },
}


@dataclass(frozen=True)
class Content:
    """What words of a description mean.

    Attributes:
        pattern: regular expression for the description, or for one of its items.
        kinds: actions, of the grammar or of ACTIONS, one after the other.
        shown_by: kinds of measured events of which one has to be there where this is said; any
            motion will do if empty.
        parts: kinds of events that may be told besides, and the action that tells each.
        still: whether it is a pose, so that it may be said where nothing moves.
        style: of the grammar.
    """

    pattern: str
    kinds: tuple[str, ...] = ()
    shown_by: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    still: bool = False
    style: str = "normal"


GOING = ("walk", "run", "sprint", "back", "side")
TURNING = ("turn", "uturn", "spin", "veer")
_AT_PLAY = ("off_ground", "duck", "drop", "jump", "sit")
_PLAY = (
    *(("off_ground", "climb"), ("duck", "duck_under"), ("drop", "drop"), ("jump", "jump")),
    *((kind, kind) for kind in (*GOING, *TURNING)),
)
_EXERCISES = (
    *(("jack", "jack"), ("jog", "jog_in_place"), ("march", "march"), ("squat", "squat")),
    *(("twist", "twist"), ("bend", "toe_touch")),
)

# Descriptions as a whole, the first that fits.
DESCRIPTIONS = (
    Content(r"^playground.*\bsit\b", ("playground",), _AT_PLAY, parts=(*_PLAY, ("sit", "perch"))),
    Content(r"^playground.*climb", ("playground",), _AT_PLAY, _PLAY),
    Content(r"^playground", ("play",), _AT_PLAY, _PLAY),
    Content(r"jumping jacks.*reach up", ("exercise",), parts=(*_EXERCISES, ("reach", "reach_up"))),
    Content(r"jumping jacks|squats|stretches|side twists", ("exercise",), parts=_EXERCISES),
    Content(r"direct traffic", ("traffic",)),
    Content(r"teapot", ("teapot",)),
    Content(r"nursery rhyme", ("rhyme",)),
    Content(r"basketball signals", ("referee",)),
    Content(r"alaskan vacation", ("vacation",)),
    Content(r"salsa", ("salsa",)),
    Content(r"charleston", ("charleston",)),
    Content(r"indian dance", ("indian_dance",)),
    Content(r"russian dance", ("russian_dance",)),
    Content(r"lambada", ("lambada",)),
    Content(r"lindy ?hop", ("lindy_hop",)),
    Content(r"^static dance pose", ("dance_pose",), still=True),
    Content(r"^dance\b", ("ballet",), still=True),
    Content(r"^balance on one leg", ("balance",), still=True),
    Content(r"^acrobatics.*ropes", ("ropes",)),
    Content(r"^jumps,? kicks and punches", ("martial",), parts=(("jump", "jump"),)),
    Content(r"^(empi|heian ?syodan)\b", ("kata",)),
    Content(r"^front kick", ("front_kick",)),
    Content(r"^mawashigeri", ("roundhouse_kick",)),
    Content(r"^yokogeri", ("side_kick",)),
    Content(r"^gedanbarai", ("low_block",)),
    Content(r"^oiduki", ("lunge_punch",)),
    Content(r"^syutouuke", ("knife_hand",)),
    Content(r"^boxing", ("boxing",)),
    Content(r"^punch", ("strike",)),
    Content(r"swordplay", ("swordplay",)),
    Content(r"^wash self", ("wash_self",)),
    Content(r"wash windows?|cleaning window", ("wash_windows",)),
    Content(r"^mop\b", ("mop",)),
    Content(r"sweep", ("sweep_floor",)),
    Content(r"^laugh", ("laugh",)),
    Content(r"^bend over, scoop up", ("scoop",)),
    Content(r"uneven terrain", ("uneven",)),
    Content(r"^climb \d steps", ("steps",), ("off_ground",)),
    Content(r"^climb ladder", ("ladder",), ("off_ground",)),
    Content(r"range ?of ?motion", ("range_of_motion",)),
    Content(r"^jump up to grab", ("reach_high",), parts=(("jump", "jump_grab"),)),
    Content(r"^cartwheels", ("cartwheels",)),
    Content(r"^cartwheel$", ("cartwheel",)),
    Content(r"^jump turn", ("jump_turn",), ("jump", "hop", "leap")),
    Content(r"^high jump", ("jump_high",), ("jump",)),
    Content(r"^(long )?(jump ?forward|forward jump)", ("jump_forward",), ("jump", "leap")),
    Content(r"^run dive over roll run", ("run", "dive_roll", "run")),
    Content(r"^run duck underneath", ("run", "duck_under"), parts=(("duck", "duck_under"),)),
    Content(r"^run jump over", ("run", "leap"), parts=(("leap", "leap"),)),
    Content(r"^run jump stop run", ("run", "leap", "stop", "run")),
    Content(r"^run over", ("run_over",)),
    Content(r"^run (quick )?stop run", ("run", "stop", "run")),
    Content(r"^run to (quick )?stop", ("run", "stop")),
    Content(r"^run side step", ("run", "side_step")),
    Content(r"^walk to run", ("walk", "run")),
    Content(r"^start hop stop", ("walk", "hop", "stop"), parts=(("hop", "hop"),)),
    Content(r"^start duck underneath stop", ("walk", "duck_under", "stop")),
    Content(r"^start walk stop", ("walk", "stop")),
    Content(r"^jump stop", ("jump", "stop")),
    Content(r"stealthily|sneak|creeping|^creep", ("sneak",), ("walk",)),
    Content(r"zombie ?walk", ("zombie",), ("walk",)),
)
# Items of a description, the first that fits each.
ITEMS = (
    Content(r"high stool", ("high_stool",), ("sit",)),
    Content(r"^sit.*stool", ("stool",), ("sit",)),
    Content(r"^sit.*chair", ("chair",), ("sit",)),
    Content(r"^sit", ("sit",), ("sit",)),
    Content(r"^stand(ing)? up|^get(ting)? up", ("sit_up",), ("rise",)),
    Content(r"unscrew bottle ?cap", ("unscrew",)),
    Content(r"screw on bottle ?cap", ("screw",)),
    Content(r"drink", ("drink_soda",)),
    Content(r"swing legs", ("swing_legs",)),
    Content(r"^look", ("look_around",)),
    Content(r"^(sudden |quick )?(stop|halt)$", ("stop",)),
    Content(r"^balance$", ("balance",)),
    Content(r"hop\b.*one foot", ("hop",), ("hop",)),
    Content(r"^leap", ("leap",), ("leap", "jump")),
    Content(r"jump", ("jump",), ("jump",)),
    Content(r"^sad ?walk", ("walk",), GOING, style="sad"),
    Content(r"^happy ?walk", ("walk",), GOING, style="happy"),
    Content(r"^old (wo)?man|elderly", ("walk",), GOING, style="old"),
    Content(r"run|jog|sprint", ("run",), GOING),
    Content(r"walk|navigate|wander|^(forward|backward|sideways|on a diagonal)", ("walk",), GOING),
    Content(r"turn|^veer|figure", ("turn",), TURNING),
)
CALIBRATION = r"^t-? ?pose|^motorcycle|calibration|static pose|^bad amc|^lost marker"
# Descriptions that tell nothing of the motion: what is left is what can be measured.
NOTHING = r"^$|^clean(ed)?$|^story$|^\W*[\d.]+ ?(lbs)?$|movie|trial|^ball$|^slope ?\d|sequ?esnce"
