//! English.

use std::collections::HashSet;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::Language;

pub(super) static ENGLISH: Language = Language {
    classes: &[
        "SUBJ: i we one",
        "AM: am are",
        "CAN: access answer answered ascertain assist conclude confirm confirmed decide determine \
         determined discern distinguish establish established guess help identified identify infer \
         inferred judge know known listen process provide recognise recognize say specify tell verify \
         choose select respond analyze analyse interpret classify detect perceive comprehend categorize \
         evaluate assess predict transcribe pinpoint recall remember name describe comply estimate count \
         measure gauge assign match deduce derive extract place trace label rate compute calculate narrow \
         comment decode decipher follow attribute resolve settle speculate assume rank translate",
        "TELL: tell say determine know identify judge discern distinguish decide pinpoint answer guess \
         ascertain conclude differentiate infer make recognize recognise establish be choose hear \
         understand see estimate measure count gauge assess deduce pin place interpret",
        "DONE: answer answered ascertained concluded confirmed decided determined determine discerned \
         distinguished established guessed identified inferred judged known said sure told verified \
         recognized recognised certain specified processed understood deciphered estimated measured \
         counted gauged resolved deduced derived assessed",
        "SURE: sure certain confident positive",
        "CLUE: clue idea notion foggiest faintest slightest",
        "IT: it that this",
        "HARD: hard difficult tough tricky impossible challenging",
        "AUDIO: audio recording recordings clip sound sounds file files attachment soundtrack track \
         input signal",
        "THE: the this that your any it anything what you from in well",
        "INFO: information info context detail details evidence data knowledge",
        "NEED: enough sufficient access the that this information knowledge ability capability capacity \
         means",
        "BAD: unclear inaudible silent empty unintelligible blank corrupted missing unavailable damaged",
        "RECORDING: audio recording clip file track input attachment conversation dialogue snippet excerpt \
         passage sample segment",
        "POOR: noisy quiet faint unclear poor low short brief distorted muffled garbled weak soft loud blurry \
         fuzzy indistinct corrupted compressed",
        "TRY: trouble difficulty problems",
        "SPECIFY: specify mention indicate reveal clarify say tell state",
        "GIVEN: provided attached given received uploaded included available supplied shared",
        "HEARD: heard detected audible found present",
        "SEND: provide upload attach share send supply resend",
        "SEEMS: is are was seems sounds remains appears",
        "IS: is are was were seems seem sounds sound looks appears does do did can could has have \
         should may might must will feels",
        "WRONG: not never no wrong incorrect absent unlikely excluded impossible false out ruled \
         eliminated missing inaudible dismissed improbable hardly nowhere discarded less rejected \
         implausible invalid barely neither untrue ignored rarely lacking",
        "GOOD: answer correct right best choice one option suitable true pick guess likely fits fit \
         match matches appropriate accurate probable plausible yes closest",
        "THE1: the my a our clearly definitely probably most likely indeed",
        "OUT: out aside",
        "ARTICLE: the a an option choice letter",
        "GIVES: gives gave provides provided offers offered contains contained includes",
        "HINT: indication indications information info clue clues hint hints detail details evidence context",
        "WHAT: what who whom which how where when why whether his her their",
        "REVEALS: reveals indicates tells specifies identifies clarifies says",
        "STATED: specified mentioned stated indicated disclosed revealed given provided available",
    ],
    refuses: "\
        SUBJ do not know; i would not know; SUBJ AM not SURE; i am unsure; i am uncertain; i am undecided; i am \
        clueless; i am at a loss; i am not confident; i feel unsure; i am not familiar with; i have no idea; i \
        have no clue; i have no way; i have no answer; i have no knowledge; i have no information; i have no \
        access; i have no opinion; i have not a clue; i have not any idea; i have not the faintest; i have not \
        the slightest; i have not the foggiest; i have insufficient; i do not have a clue; i do not have any \
        idea; i do not have an idea; i do not have any INFO; i do not have an answer; i do not have the \
        faintest; i do not have NEED; i do not possess; i do not recall; i lack the; i lack INFO; i lack \
        sufficient; SUBJ can not CAN; SUBJ could not CAN; i am unable to ANY; i am not able to ANY; i am not \
        capable of; i am incapable of; i am not equipped to; i am not sure; SUBJ can not be SURE; SUBJ can not \
        be 100; SUBJ could not be SURE; SUBJ can not hear THE; SUBJ could not hear THE; SUBJ can not hear AUDIO; \
        SUBJ can not see THE AUDIO; SUBJ can not see AUDIO; SUBJ can not make out; SUBJ could not make out; SUBJ \
        can not make a determination; SUBJ can not make a judgment; SUBJ can not figure; SUBJ could not figure; \
        SUBJ can not give; SUBJ can not offer; SUBJ can not understand; SUBJ could not understand; SUBJ can not \
        play; SUBJ can not open; i did not hear THE; i did not catch; i did not get THE AUDIO; i do not hear any \
        AUDIO; i did not receive ~ AUDIO; i have not received ~ AUDIO; i do not see ~ AUDIO; i do not recognize; \
        i do not recognise; i do not understand; i would need more; i would need additional; i need more; i need \
        additional; i would rather not; i prefer not to; i would prefer not to; i will not guess; i will not \
        answer; i must decline; i decline to; i refuse to answer; i can only guess; more INFO is needed; more \
        INFO is required; additional INFO is needed; can not be DONE; could not be DONE; can not CAN from; is \
        impossible to TELL; is not possible to TELL; is not easy to TELL; SEEMS HARD to TELL; SEEMS HARD for me \
        to TELL; SEEMS HARD to be SURE; it is unclear; it is unknown; it is not clear; it is not known; it \
        remains unclear; it remains unknown; it is uncertain; no way to TELL; no way of knowing; no way of \
        telling; not enough INFO; not have enough INFO; not provide enough; not provide sufficient; not contain \
        enough; not give enough; insufficient INFO; too little INFO; beyond my knowledge; beyond my ability; \
        beyond my abilities; beyond my capabilities; beyond my capability; too BAD to TELL; too BAD to make; too \
        noisy to; too quiet to; too faint to; too unclear to; too poor to; too low to; too short to TELL; too \
        distorted to; too muffled to; not clear enough; not loud enough to; not audible enough; there is no \
        AUDIO in; there is no AUDIO file; there is no AUDIO clip; there is no AUDIO GIVEN; there is no AUDIO \
        HEARD; no AUDIO can be HEARD; no AUDIO file; no AUDIO clip; no AUDIO was GIVEN; no AUDIO is GIVEN; no \
        AUDIO has been GIVEN; no AUDIO were GIVEN; no AUDIO GIVEN; no AUDIO was HEARD; no AUDIO is HEARD; your \
        guess is as good as mine; RECORDING SEEMS BAD; RECORDING file SEEMS BAD; RECORDING clip SEEMS BAD; \
        RECORDING SEEMS to be BAD; not seem to be any AUDIO; is not any AUDIO; only silence; complete silence; \
        nothing to hear; nothing can be heard; i have TRY; i am having TRY; having TRY hearing; beats me; i am \
        stumped; i wish i knew; anyone is guess; i would be guessing; i would only be guessing; i would just be \
        guessing; i will not be able to; i would not be able to; i have not got a clue; i can not be of help; i \
        am lost; i am not aware; not in a position to; too close to call; could be anything; no way for me to; \
        RECORDING does not SPECIFY; i do not have an opinion; i am no expert on; SUBJ can not reliably; i am \
        still unsure; i have no certainty; not discernible; not distinguishable; i have doubts; i am in doubt; i \
        do not have any certainty; i am puzzled; i am confused; is a mystery to me; i have to pass; i will pass; \
        i will skip; i would have to guess; there is no clear; without hearing the RECORDING; i can not hear it; \
        i am not ~ SURE; we are not ~ SURE; i do not ~ know; i have not ~ CLUE; i can not quite CAN; i can not \
        really CAN; i could not work; i can not work it; SUBJ can not make it out; SUBJ could not make it out; \
        AUDIO did not load; AUDIO did not play; AUDIO does not load; AUDIO does not play; AUDIO failed to; AUDIO \
        could not be; INFO is insufficient; INFO is not sufficient; i pass on; is insufficient to TELL; my best \
        guess is that i do not; nothing is audible; nothing is heard; please SEND ~ AUDIO; you SEND ~ AUDIO; \
        please re-upload; please try again; not allow me to; would need to hear; need to hear the; too HARD for \
        me to; not sufficient INFO; insufficient evidence; not enough evidence; no evidence to; can not be \
        worked; could not be worked; can not be made out; could not be made out; can not be figured; i was not \
        able to ANY; i was unable to ANY; not enough ANY INFO; AUDIO did not come; AUDIO is not loading; AUDIO \
        is not playing; no answer can be; no conclusion can be; no choice can be; i did not understand; i did \
        not recognize; i did not recognise; i did not manage to; i failed to; i do not feel SURE; i do not feel \
        ~ SURE; i do not feel comfortable; i can not make assumptions; i can not make an assumption; i can not \
        make ~ assumptions; i do not wish to; i do not want to guess; i do not like to guess; not something i \
        can; not something that i can; not contain ~ INFO; not provide ~ INFO; not include ~ INFO; not give ~ \
        INFO; RECORDING GIVES no HINT; RECORDING GIVES no clear HINT; RECORDING GIVES no explicit HINT; there is \
        no HINT of WHAT; there is no HINT about; there is no HINT as to; nothing in the AUDIO REVEALS; nothing \
        in the AUDIO that REVEALS; none of the options can be DONE; none of these can be DONE; none of them can \
        be DONE; no INFO is GIVEN; no HINT is GIVEN; no INFO was GIVEN; no HINT was GIVEN; not make it clear; \
        does not make clear; it is not STATED; not STATED in the RECORDING; never STATED in the RECORDING; too \
        garbled to; too blurry to; too weak to; too soft to; too brief to TELL; too fast to TELL; not enough ANY \
        to TELL; beyond what i can; i abstain; i will abstain; i would abstain; i choose not to; i have chosen \
        not to; speech is too POOR to; words are too POOR to; voice is too POOR to; voices are too POOR to; \
        speech is BAD; words are BAD; not sufficient to TELL; not enough to TELL; not give me enough; is beyond \
        me; nothing in the RECORDING REVEALS; nothing in the RECORDING that REVEALS; nothing in the RECORDING \
        suggests WHAT; nothing REVEALS WHAT; makes it HARD to TELL; is a mystery; remains a mystery; drawing a \
        blank; not trained to; not designed to; not programmed to; out of my depth; not allow for; RECORDING ~ \
        is not GIVEN; RECORDING ~ was not GIVEN; i am only able to; i can only process; i can only work; i can \
        only read; i refrain; i would refrain; i will refrain; refrain from guessing; i do not have a ~ answer; \
        i do not have a ~ guess; RECORDING not GIVEN; RECORDING not found; too little ANY to TELL; too little \
        ANY for me to; i have nothing to base; not enough to ANY on; not much to ANY on; nothing to ANY on; \
        little to ANY on",
    refuses_first: "\
        do not know; not sure; not certain; not confident; unsure; no idea; no clue; can not CAN; could not CAN; \
        can not be SURE; can not hear; could not hear; can not make out; unable to ANY; not able to ANY; \
        impossible to TELL; not possible to TELL; HARD to TELL; HARD to be SURE; not easy to TELL; the AUDIO is \
        BAD; the AUDIO SEEMS BAD; the AUDIO file is BAD; the AUDIO is too POOR; the AUDIO is not clear; the \
        AUDIO quality is; who knows; none that i can; not identifiable; need more INFO; have no idea; no one \
        knows; nobody knows; no one can; nobody can; search me; hard for me to TELL; too HARD to TELL; still \
        unsure; unable to; not a clue; have not ~ CLUE; not the slightest; not the faintest; have not got",
    refuses_alone: "\
        unknown; unclear; uncertain; undetermined; undeterminable; not known; not clear; indeterminate; \
        unanswerable; inconclusive; unidentifiable; undecided; not determinable; not clear from the AUDIO; n/a; \
        na; skip; pass; i pass; no answer; no comment; no opinion; clueless; i can not hear; i can not; can not \
        hear; there is no AUDIO; no AUDIO; i do not hear it; not applicable; not sure; not specified; not \
        mentioned; not stated; not indicated; not given; no information; not sure at all; not determined; no way \
        to know; undecidable; inaudible; unintelligible; no answer possible; i hear nothing; i do not hear \
        anything; insufficient; ambiguous; indeterminable; not answerable; unsure",
    refuses_without_option: "\
        i can not ANY; i could not ANY; we can not ANY; we could not ANY; can not commit; is not something i; is \
        not something that i; i am not ~ enough; i am torn; i am not qualified; i do not want to answer; i do \
        not want to say; is out of my reach; not possible for me; there is no way to; makes it HARD; not \
        explained in the RECORDING",
    clause_starts: "\
        but; so; sorry; and; therefore; because; answer; answer is; well; hmm; honestly; afraid; apologies; \
        think; as; it is; that is; this is; remains; sadly; regrettably",
    reports: "\
        says; said; saying; states; stated; stating; replies; replied; answers; answered; repeats; sings; \
        singing; whispers; asks; asked; shouts; claims; admits; explains; yells",
    turns: "\
        although; believe; but; guess; however; likely; maybe; might; perhaps; possibly; presumably; probably; \
        say; suppose; suspect; think; though; still the; nevertheless; nonetheless; the answer is; the best \
        option is; if i had to; closest; yet",
    denies_before: "\
        not; no; never; neither; nor; without; except; excluding; exclude; excludes; unlike; rather than; \
        instead of; isnt; wasnt; doesnt; hardly; barely; scarcely; nothing; none; nobody; lack; lacks; lacked; \
        lacking; absence of; doubt; doubts; doubtful; unlikely; impossible; improbable; eliminate; eliminates; \
        eliminated; eliminating; rule OUT; rules OUT; ruled OUT; ruling OUT; far from; anything but; other than; \
        than; wrong to; mistake to; incorrect to; misleading to; free of; discard; dismiss; reject; thought it \
        was; thought of; considered; considering; initially; wrongly; mistaken for; confused with; as opposed \
        to; rule; against; too ANY for; too ANY to be; too ANY ANY to be; not a; less like; wrongly called; was \
        going to say; would have said; thinking of; all but; everything but; everyone but; every ANY but; all \
        ANY but; tries to sound; trying to sound; tries to be; pretends to",
    affirms: "\
        no doubt; no doubts; not only; not just; without doubt; without a doubt; without any doubt; no question; \
        nothing but; nothing other than; none other than; nothing else than; not doubt; beyond doubt; no \
        problem; no matter; not ~ anything other than; not ~ anything but; not ~ anything else but; not ~ \
        anything else than; not ~ other than; all but SURE; all but confirmed; lack of ~ points to; lack of ~ \
        suggests; lack of ~ indicates; lack of ~ means; absence of ~ points to; absence of ~ suggests; absence \
        of ~ indicates; absence of ~ means",
    contrasts: "but; only",
    denies_after: "\
        IS WRONG; is too ANY; IS ANY WRONG; IS ANY ANY WRONG; is the WRONG; not; WRONG or; would ANY; might \
        have; can be ruled; can be excluded; and ARTICLE ANY IS WRONG; and ARTICLE ANY can be WRONG; and ANY IS \
        WRONG; and ANY can be WRONG; or not; or ARTICLE ANY IS WRONG; or ANY IS WRONG; or ARTICLE ANY would \
        WRONG; or ANY would WRONG; and ARTICLE ANY would WRONG; were ANY; lacks; fails; need; needs; requires; \
        and ANY and ANY IS WRONG; it is not; this is not; that is not; is what it is not; IS usually; IS often; \
        IS typically; IS generally; usually; often; typically; tend to; tends to; one would; you would; we would",
    supposes: "\
        if; whether; unless; suppose it; supposing; had it been; between; wonder; wondering; asked about; decide \
        between; examine; consider; look at; evaluate; analyze; check; compare; might think; could think; may \
        think; one might; although; though; even though; while; despite; resembles; reminiscent of; imagine; \
        tempting to; mistake it for; asking whether; asks whether; asks about; asked if; might expect; would \
        expect; may expect; might call; could call; some would; some might; many would; people would; i said; i \
        called it; some might say; some would say; some may say; one might say; one could say; people might say; \
        people would say; many would say; many might say; might suggest; may suggest; could suggest; might \
        indicate; might point to; were it; were this; should it be; listen for; look for; test for; decide \
        whether; mistake this for; checking; listening for; looking for; examining; considering; at first \
        glance; at first hearing; at first listen; at first it; at first i; at first ~ seem*; at first ~ sound*; \
        initially it; initially i; one would call; you would call; i first labelled; i first labeled; i first \
        thought; i first took; i first believed; i first assumed; i first guessed; i first considered; i thought \
        i heard; i thought it might",
    introduces: "\
        answer; option; choice; letter; pick; probably; maybe; perhaps; possibly; likely; definitely; clearly; \
        certainly; surely; presumably; obviously; apparently; so; thus; therefore; hence; consequently; then; \
        ok; okay; sure; well; finally; is; be; was; think; guess; say; believe; suppose; assume; choose; select; \
        vote; with; going for; go for; vote for; opt for; towards; toward; lean to; leaning to; like; as; \
        leaving; leaves; seems; hmm; actually; conclude; conclusion; only; rather; either; yes; but; reckon; \
        described by; represented by; corresponds to; correspond to; refers to; points to; point to; goes to; \
        inclined to say; match is; correct; solution; these; verdict; conclusion is; result; them; matches; \
        select option; and so; must; for me; bet on; money is on; settle on; decide on; is on; leaning; just; \
        bet; vote goes to; take; suggests; suggest; indicates; means; change my answer to; changing my answer \
        to; change it to; switch to; money on; bet is",
    confirms: "\
        is what i hear; is what we hear; is what is heard; is what i would choose; is what i would pick; is what \
        i would say; is what i would go; is the one; is THE1 GOOD; is GOOD; is THE1 ANY GOOD; is THE1 THE1 GOOD; \
        is THE1 THE1 ANY GOOD; is ANY THE1 GOOD; seems GOOD; seems THE1 GOOD; seems to be THE1 GOOD; seems to be \
        GOOD; looks GOOD; should be THE1 GOOD; should be GOOD; should be THE1 ANY GOOD; would be THE1 GOOD; \
        would be THE1 ANY GOOD; would be GOOD; must be THE1 GOOD; must be GOOD; has to be THE1 GOOD; it is; \
        fits; matches; fits best; i think; i guess; i believe; i would say; i suppose; makes the most sense; \
        sounds GOOD; could be GOOD; could be THE1 GOOD; could be THE1 ANY GOOD; might be GOOD; might be THE1 \
        GOOD; may be GOOD; may be THE1 GOOD; appears to be THE1 GOOD; appears GOOD; makes most sense; is \
        probably GOOD; i would guess; is more GOOD; is far more GOOD; is much more GOOD; seems more GOOD; fits \
        better; is therefore GOOD; is therefore THE1 GOOD; is thus GOOD; is thus THE1 GOOD; is then GOOD; is \
        then THE1 GOOD; sounds more GOOD; is the more GOOD; is a better GOOD; yes; correct; right; true",
    softens: "\
        maybe; perhaps; possibly; probably; likely; a; an; the; option; answer; or; not; sure; hmm; um; well; \
        i'd; guess; i; think; say; it's; so; my; would; most; for; me; obviously; of; course; indeed; \
        apparently; definitely; clearly; certainly; surely; presumably; actually; believe; fairly; pretty; very; \
        quite",
    concludes: "\
        so; thus; therefore; hence; consequently; which leaves; leaving; leaves; in total; altogether; in \
        conclusion; final answer; that means; this means; meaning; but it should be; but now; but i now; but \
        actually; but it is actually; but is actually; but actually is; but is really; but is in fact",
    lists: "\
        options; choices; the options; the choices; the possible answers; the question asks; possible answers; \
        the available options; options are; the answer options; the user asks; the given options",
    corrects: "\
        wait; actually; correction; no wait; wait no; oh wait; but wait; actually no; no actually; on second \
        thought; on second thoughts; on second listen; on reflection; upon reflection; scratch that; strike \
        that; i take that back; let me correct; to correct myself; i stand corrected; or rather; sorry i meant; \
        i meant; hold on; hang on",
    replaces: "\
        no; nope; sorry; oops; apologies; my apologies; my mistake; my bad; i mean; sorry i mean; oops i mean; \
        no i mean; or no; er; uh; make that; or actually; i misspoke; let me rephrase; or better; i misread; i \
        misheard; sorry i misread; sorry i misheard; i made a mistake; that was wrong; that is not right; \
        actually it is; actually that is; actually i think",
};

/// Words that change nothing about a refusal.
const FILLERS: &str = "\
    absolutely accurately actually completely confidently currently definitely definitively entirely even \
    exactly fully genuinely honestly just personally precisely quite really reliability reliably simply still \
    totally truly unfortunately very yet clearly properly also correctly directly easily 100 % frankly fairly \
    particularly";

/// Whether `word` changes nothing about a refusal.
pub(crate) fn is_filler(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str, FixedState>> = LazyLock::new(|| FILLERS.split(' ').collect());
    WORDS.contains(word)
}

/// A word without its contraction: `don't` is `do not`, `cannot` is `can not`, `I'm` is `I am`.
pub(crate) fn written_out(word: &str) -> impl Iterator<Item = &str> {
    let (first, rest) = first_and_rest(word);
    std::iter::once(first).chain(rest.iter().copied())
}

/// The first of the words that `word` is written for, and those after it.
fn first_and_rest(word: &str) -> (&str, &'static [&'static str]) {
    match word {
        "idk" | "dunno" => return ("i", &["do", "not", "know"]),
        "cannot" | "can't" | "cant" => return ("can", &["not"]),
        "won't" => return ("will", &["not"]),
        "dont" => return ("do", &["not"]),
        "didnt" => return ("did", &["not"]),
        "isnt" => return ("is", &["not"]),
        "couldnt" => return ("could", &["not"]),
        "im" => return ("i", &["am"]),
        _ if !word.contains('\'') => return (word, &[]),
        _ => {}
    }
    const ENDINGS: [(&str, &[&str]); 7] = [
        ("n't", &["not"]),
        ("'m", &["am"]),
        ("'re", &["are"]),
        ("'ve", &["have"]),
        ("'d", &["would"]),
        ("'s", &["is"]),
        ("'ll", &["will"]),
    ];
    for (ending, full) in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            return (stem, full);
        }
    }
    (word, &[])
}
