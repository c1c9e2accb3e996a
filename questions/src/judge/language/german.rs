//! German. `ß` is `ss`, as in a reply.

use super::Language;

pub(super) static GERMAN: Language = Language {
    classes: &["KANN: sagen beantworten hören bestimmen erkennen beurteilen feststellen identifizieren \
         entscheiden wissen zuordnen helfen antworten festlegen heraushören verstehen anhören verarbeiten \
         unterscheiden ermitteln raten schätzen zählen messen ableiten wählen einschätzen"],
    refuses: "\
        ich weiß nicht; ich weiß es nicht; ich weiß das nicht; ich weiß es leider nicht; ich weiß leider nicht; \
        ich weiß die antwort nicht; weiß ich nicht; weiß ich leider nicht; weiß ich es nicht; ich habe keine \
        ahnung; keine ahnung; ich bin mir nicht sicher; ich bin nicht sicher; ich bin unsicher; ich bin mir \
        unsicher; ich bin mir nicht ganz sicher; bin ich mir nicht sicher; kann ich nicht KANN; kann ich ~ nicht \
        KANN; ich kann ~ nicht KANN; ich konnte ~ nicht KANN; ich kann ~ keine; schwer zu sagen; schwierig zu \
        sagen; schwer zu bestimmen; schwer zu erkennen; lässt sich nicht KANN; lässt sich ~ nicht KANN; nicht \
        genügend informationen; nicht genug informationen; zu wenig informationen; nicht möglich zu; ich höre \
        nichts; ich habe keinen zugriff; ich habe keinen zugang; kann nicht bestimmt werden; kann nicht \
        beantwortet werden; unmöglich zu sagen; kann nichts KANN; ich kann nichts; kann man nicht KANN; kann man \
        ~ nicht KANN; nicht ~ bestimmbar; nicht ~ erkennbar; nicht hörbar; nicht zu erkennen; nicht zu \
        bestimmen; nicht zu hören; bin überfragt; ich habe nichts gehört; keinen blassen schimmer; nicht in der \
        lage; schwer zu KANN; schwierig zu KANN; schwer einzuschätzen; ich weiß gar nicht; ich weiß wirklich \
        nicht; da bin ich mir nicht sicher; ich kann nicht KANN; nicht genügend; ich verstehe ~ nicht; bin mir \
        nicht sicher; ich kann ~ nichts KANN; kann ich nichts; ich weiß ~ nicht; ich bin ~ nicht sicher; bin ich \
        ~ nicht sicher; kann ich keine ~ KANN; kann ich keine aussage; habe ich keine ~ informationen; ich habe \
        keine ~ informationen; reicht nicht aus; reichen nicht aus; geht ~ nicht hervor; gibt keine auskunft; \
        gibt ~ keine auskunft; lässt keine ~ zu; keine ausreichenden informationen",
    refuses_first: "nicht sicher; kann nicht; leider nicht",
    refuses_alone: "\
        unbekannt; unklar; unsicher; nicht bekannt; weiß nicht; keine angabe; keine antwort; ungewiss; nicht \
        eindeutig; schwer zu sagen",
    refuses_without_option: "ich kann ~ nicht; kann ich ~ nicht; kann man ~ nicht; ich konnte ~ nicht; unverständlich",
    clause_starts: "leider; entschuldigung; tut mir leid; aber",
    reports: "sagt; sagte; fragt; singt",
    turns: "aber; jedoch; vielleicht; wahrscheinlich; vermutlich; denke; glaube; würde; möglicherweise",
    denies_before: "\
        nicht; kein; keine; keinen; keinem; keiner; weder; ohne; statt; außer; kaum; niemals; nie; eher ~ als; \
        mehr ~ als",
    affirms: "kein zweifel; ohne zweifel; nicht nur",
    contrasts: "sondern",
    denies_after: "\
        ist nicht; ist falsch; ist ausgeschlossen; ist nicht zu; wird nicht; scheidet aus; kann ausgeschlossen; \
        wäre; würde; ist es nicht; ist das nicht; kommt nicht; hört man nicht",
    supposes: "ob; wenn; falls",
    introduces: "\
        ist; antwort; denke; glaube; wähle; nehme; buchstabe; lösung; also; wohl; vielleicht; wahrscheinlich; \
        vermutlich; daher; sage; tippe auf; lautet; wäre; sicherlich; bestimmt; richtig; würde; eher; tippe; \
        sicher; sondern",
    confirms: "ist richtig; ist korrekt; ist die richtige; ist die antwort; passt",
    softens: "vielleicht; wohl; eine; ein; der; die; das; wahrscheinlich",
    concludes: "daher; folglich; somit",
    lists: "die optionen; optionen",
    corrects: "nein warte; nein doch; moment nein; korrektur; besser gesagt; ich korrigiere mich",
    replaces: "nein; entschuldigung; pardon; ich meine; verzeihung",
};
