//! Portuguese.

use super::Language;

pub(super) static PORTUGUESE: Language = Language {
    classes: &[
        "DIZER: dizer determinar responder ouvir escutar saber identificar reconhecer confirmar afirmar \
         distinguir precisar acessar processar fornecer entender dar adivinhar ajudar dizê-lo estimar \
         medir contar inferir deduzir classificar escolher",
    ],
    refuses: "\
        não sei; não tenho certeza; não tenho a certeza; não tenho ideia; não tenho ~ ideia; não tenho ~ \
        informaç*; não tenho acesso; não tenho como; não tenho a resposta; não faço ideia; não faço a menor \
        ideia; não posso DIZER; não posso ~ DIZER; não consigo DIZER; não consigo ~ DIZER; não é possível DIZER; \
        não se pode DIZER; impossível DIZER; impossível de DIZER; difícil DIZER; difícil de DIZER; não há ~ \
        informaç*; sem ideia; não estou certo; não estou certa; não estou segur*; não sou capaz; não ouço nada; \
        informaç* insuficient*; não saberia DIZER; não reconheço; não conheço; não dá para; não dá pra; não está \
        claro; não entendi; não ouvi; não saberia; não tenho capacidade; não compreendo; não se sabe; não me é \
        possível; não fui capaz; não pude DIZER; não conseguiria; sei lá; não o posso DIZER; não tenho ~ \
        certeza; não estou ~ cert*; não faço ~ ideia; não fornece ~ informaç*; não contém ~ informaç*; não \
        oferece ~ informaç*; não permite DIZER; não permite ~ DIZER; não me permite; não é suficiente; não \
        consegui DIZER; não consegui ~ DIZER",
    refuses_first: "desconheço",
    refuses_alone: "desconhecido; desconhecida; indeterminado; incerto; sem resposta; não posso; não consigo",
    refuses_without_option: "\
        não posso; não consigo; não disponho; não se ouve nada; está inaudível; é inaudível; não tenho",
    clause_starts: "desculpe; sinto muito; mas; infelizmente; eu",
    reports: "diz; pergunta; canta",
    turns: "mas; talvez; provavelmente; acho; diria; porém; creio; penso",
    denies_before: "não; nem; nenhum; nenhuma; sem; exceto; em vez de; nunca; mais ~ que; mais ~ do que",
    affirms: "sem dúvida; não só; não apenas",
    contrasts: "mas",
    denies_after: "não é; não; está descartad*; é incorret*; está errad*; seria",
    supposes: "se fosse; se é; se for; se há",
    introduces: "\
        é; resposta; opção; diria; acho; escolho; letra; que é; seja; talvez; provavelmente; correta; certa; que \
        seja; provável; é a; é a letra; é a opção; é a alternativa; alternativa; mas",
    confirms: "é a correta; é corret*; é a resposta; está corret*",
    softens: "talvez; o; a; um; uma",
    concludes: "então; portanto; logo",
    lists: "as opções; opções",
    corrects: "não espera; não espere; ou melhor; aliás; correção; me corrijo",
    replaces: "não; desculpe; desculpa; quer dizer; digo; aliás",
};
