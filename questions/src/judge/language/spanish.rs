//! Spanish.

use super::Language;

pub(super) static SPANISH: Language = Language {
    classes: &[
        "DECIR: decir decirlo determinar determinarlo responder escuchar oír saber saberlo identificar \
         reconocer confirmar distinguir precisar contestar asegurar afirmar acceder procesar dar entender \
         proporcionar adivinar ayudar estimar medir contar inferir deducir clasificar elegir reproducir",
    ],
    refuses: "\
        no lo sé; no sé; no estoy segur*; no estoy del todo segur*; no estoy completamente segur*; no estoy muy \
        segur*; no estoy cierto; no tengo ni idea; no tengo idea; no tengo ~ información; no tengo acceso; no \
        tengo certeza; no tengo la respuesta; no tengo la capacidad; no puedo DECIR; no puedo ~ DECIR; no podría \
        DECIR; no se puede DECIR; ni idea; difícil de DECIR; difícil DECIR; difícil ~ DECIR; lo desconozco; no \
        hay ~ información; no es posible DECIR; imposible ~ DECIR; no logro DECIR; no me es posible; no consigo \
        DECIR; no soy capaz de; no reconozco; no escucho nada; no oigo nada; no sabría; no está claro; no me \
        queda claro; no cuento con; no escuché; no pude DECIR; no alcanzo a; no entiendo; no lo tengo claro; no \
        estoy en condiciones; no se sabe; no se oye nada; es imposible; no podría; no lo puedo DECIR; no la \
        puedo DECIR; no te puedo DECIR; no le puedo DECIR; no estoy ~ segur*; no proporciona ~ información; no \
        contiene ~ información; no ofrece ~ información; no da ~ información; no permite DECIR; no permite ~ \
        DECIR; no me permite; no se puede ~ DECIR; información insuficiente; no es suficiente; no he podido \
        DECIR; no pude ~ DECIR",
    refuses_first: "desconozco",
    refuses_alone: "desconocido; desconocida; indeterminado; incierto; sin respuesta; no puedo; no sé",
    refuses_without_option: "no puedo; no dispongo; no se escucha nada; no se oye nada; es inaudible; no tengo",
    clause_starts: "lo siento; perdón; pero; disculpa",
    reports: "dice; dijo; pregunta; canta",
    turns: "pero; quizá; quizás; tal vez; probablemente; creo; diría; sin embargo; aunque; posiblemente",
    denies_before: "\
        ningún; ninguna; ni; sin; nunca; salvo; excepto; tampoco; en lugar de; en vez de; descarto; apenas; más \
        ~ que; más bien ~ que",
    affirms: "sin duda; no solo; no sólo",
    contrasts: "sino",
    denies_after: "no es; no; queda descartad*; está descartad*; es incorrect*; es fals*; sería; se descarta",
    supposes: "si es; si fuera; si hay; si se; si la; si el",
    introduces: "\
        es; respuesta; opción; creo; diría; elijo; letra; será; probablemente; quizás; sería; correcta; que sea; \
        la; seguramente; que; sino",
    confirms: "es la correcta; es correct*; es la respuesta; es la opción",
    softens: "quizás; quizá; el; la; un; una; probablemente",
    concludes: "entonces; por lo tanto; así que",
    lists: "las opciones; opciones",
    corrects: "no espera; espera no; mejor dicho; corrección; me corrijo",
    replaces: "no; perdón; perdon; digo; quiero decir; lo siento",
};
