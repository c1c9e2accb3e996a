//! Italian.

use super::Language;

pub(super) static ITALIAN: Language = Language {
    classes: &["DIRE: dire dirlo determinare determinarlo rispondere sentire ascoltare sapere saperlo \
         identificare riconoscere confermare stabilire distinguere capire accedere fornire indovinare \
         aiutare stimare misurare contare dedurre scegliere classificare"],
    refuses: "\
        non lo so; non so; non saprei; non sono sicur*; non sono del tutto sicur*; non sono cert*; non ne sono \
        sicur*; non ne ho idea; non ne ho ~ idea; non ho idea; non ho ~ idea; non ho ~ informazioni; non ho \
        accesso; non ho la risposta; non posso DIRE; non posso ~ DIRE; non riesco a; non si può DIRE; non è \
        possibile DIRE; impossibile ~ DIRE; difficile da DIRE; difficile a DIRE; difficile DIRE; non ci sono ~ \
        informazioni; lo ignoro; non conosco; non sono in grado; non sento niente; non sento nulla; informazioni \
        insufficienti; nessuna idea; non riconosco; non ne sono; non è chiaro; non capisco; non ho sentito; non \
        potrei DIRE; non mi è possibile; difficile ~ DIRE; non ho la minima idea; non ho capito; non si sente; \
        non si sa; non lo posso DIRE; non sono ~ sicur*; non sono ~ cert*; non riesco ~ DIRE; non lo saprei; non \
        fornisce ~ informazioni; non contiene ~ informazioni; non offre ~ informazioni; non permette di DIRE; \
        non consente di DIRE; non mi permette; non è sufficiente; non basta; non sono riuscit*",
    refuses_alone: "sconosciuto; sconosciuta; ignoto; indeterminato; incerto; boh; non posso",
    refuses_without_option: "non posso; non riesco; non dispongo; non si sente nulla; è incomprensibile; non ho",
    clause_starts: "mi dispiace; scusa; ma; purtroppo",
    reports: "dice; chiede; canta",
    turns: "ma; forse; probabilmente; direi; penso; credo; però; tuttavia",
    denies_before: "\
        non; nessun; nessuna; né; senza; mai; tranne; invece di; piuttosto che; neanche; nemmeno; più ~ che; \
        piuttosto ~ che",
    affirms: "senza dubbio; non solo",
    contrasts: "bensì; non ~ ma",
    denies_after: "non è; non; è sbagliat*; è esclus*; è errat*; sarebbe",
    supposes: "se fosse; se è; se sia; se si",
    introduces: "\
        è; risposta; opzione; direi; penso; scelgo; lettera; sia; quindi; forse; credo; corretta; probabilmente; \
        la; sicuramente; che; ma",
    confirms: "è corrett*; è la risposta; è giust*; è quella",
    softens: "forse; il; lo; la; un; una",
    concludes: "quindi; dunque; perciò",
    lists: "le opzioni; opzioni",
    corrects: "no aspetta; aspetta no; anzi; mi correggo; o meglio",
    replaces: "no; scusa; scusate; anzi; volevo dire",
    ..Language::EMPTY
};
