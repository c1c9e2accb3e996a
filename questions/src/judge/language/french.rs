//! French.

use super::Language;

pub(super) static FRENCH: Language = Language {
    classes: &[
        "DIRE: dire répondre entendre déterminer savoir identifier reconnaître écouter confirmer juger \
         distinguer deviner affirmer préciser trancher donner accéder comprendre estimer mesurer compter \
         déduire choisir classer",
        "SÛR: sûr sûre certain certaine sur confiant",
    ],
    refuses: "\
        je ne sais pas; je sais pas; je ne sais; j'ignore; je l'ignore; je ne suis pas SÛR; je ne suis pas \
        vraiment SÛR; je ne suis pas tout à fait SÛR; n'en sais rien; n'en ai aucune idée; aucune idée; je n'ai \
        aucune idée; je ne peux pas DIRE; je ne peux pas ~ DIRE; je ne pourrais pas DIRE; je ne saurais DIRE; on \
        ne peut pas ~ DIRE; impossible à DIRE; impossible de DIRE; impossible de le DIRE; difficile à DIRE; \
        difficile de DIRE; je n'entends rien; je n'entends pas; pas assez d'informations; pas suffisamment \
        d'informations; je n'ai pas ~ informations; je n'ai pas accès; je n'ai pas la réponse; je n'arrive pas à \
        DIRE; je n'arrive pas à; je ne parviens pas à; je suis incapable de; je n'ai pas pu; ne peut pas être \
        déterminé; ne peut être déterminé; je ne reconnais pas; je ne connais pas; pas possible de DIRE; je n'ai \
        rien entendu; difficile de le DIRE; je ne peux le DIRE; je ne peux pas le DIRE; je ne suis pas en \
        mesure; je ne saurais; je ne pourrais; n'est pas clair; impossible de l'identifier; impossible de \
        savoir; je ne sais vraiment pas; je ne sais pas du tout; je ne vois pas; je n'en suis pas SÛR; je suis \
        incertain; je ne comprends pas; je n'ai pas entendu; je ne suis pas ~ SÛR; je n'ai ~ aucune idée; je ne \
        peux ~ DIRE; je ne sais ~ pas; je ne peux pas vous DIRE; ne permet pas ~ DIRE; ne permettent pas ~ DIRE; \
        ne contient pas ~ informations; ne fournit pas ~ informations; ne donne pas ~ informations; informations \
        insuffisantes; ne suffit pas",
    refuses_alone: "inconnu; inconnue; indéterminé; incertain; pas sûr; sans réponse; je ne peux pas",
    refuses_without_option: "\
        je ne peux ~ pas; je ne peux pas; je n'ai pas; je ne dispose pas; est inaudible; est incompréhensible",
    clause_starts: "désolé; désolée; mais; malheureusement",
    reports: "dit; demande; répond; chante",
    turns: "mais; peut-être; probablement; dirais; pense; crois; cependant; sans doute",
    denies_before: "pas; ni; aucun; aucune; sans; jamais; sauf; plutôt que; non; guère; plutôt ~ que; plus ~ que",
    affirms: "sans doute; sans aucun doute; pas seulement",
    contrasts: "pas ~ mais; non ~ mais; ni ~ mais",
    denies_after: "\
        n'est pas; est exclu; est exclue; est faux; est fausse; n'est; serait; est incorrect; est incorrecte; \
        est écarté",
    supposes: "si c'est; si c'était; s'il; si la; si le; si on",
    introduces: "\
        est; réponse; dirais; pense; choisis; lettre; donc; soit; probablement; peut-être; crois; c'est; la; \
        correcte; option; choisirais; certainement; plutôt; mais",
    confirms: "est la bonne; est correct; est correcte; est la réponse; est juste",
    softens: "peut-être; le; la; un; une; probablement",
    concludes: "donc; ainsi",
    lists: "les options",
    corrects: "non attendez; attendez non; non plutôt; ou plutôt; correction; je me corrige",
    replaces: "non; pardon; désolé; je veux dire; oups",
    ..Language::EMPTY
};
