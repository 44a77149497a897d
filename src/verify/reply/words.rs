//! What people answer, by language: lists of phrases, with a comma between.
//!
//! Phrases are written as [`super::spoken`] writes a text: lower case, without accents, vowel signs
//! and apostrophes.

/// The phrases of one language.
pub(super) struct Words {
    /// The language.
    pub(super) tag: &'static str,
    /// Whether words are written with spaces between them.
    pub(super) spaced: bool,
    /// Consent, when nothing else is said.
    pub(super) yes: &'static str,
    /// Refusal, when nothing else is said.
    pub(super) no: &'static str,
    /// What makes a sentence no consent, besides the words of refusal.
    pub(super) not: &'static str,
    /// It was somebody else: wherever it stands, in any language.
    pub(super) fraud: &'static str,
    /// The same, when nothing else is said.
    pub(super) fraud_alone: &'static str,
    /// No more texts: wherever it stands, in any language.
    pub(super) stop: &'static str,
    /// The same, when nothing else is said.
    pub(super) stop_alone: &'static str,
    /// What holds a word of `stop` and is no such wish.
    pub(super) stay: &'static str,
    /// Texts again, when nothing else is said.
    pub(super) start: &'static str,
    /// A call for help, when nothing else is said.
    pub(super) help: &'static str,
    /// What is said besides and changes nothing.
    pub(super) polite: &'static str,
    /// English words that mean something else here.
    pub(super) foreign: &'static str,
}

/// Opt-out, opt-in and help words that carriers and regulators make good in every language, when
/// nothing else is said.
pub(super) const STOP: &str = "stop, stopall, stop all, quit, end, revoke, cancel, unsubscribe, \
    optout, opt out, arret";
/// See [`STOP`].
pub(super) const START: &str = "start, unstop";
/// See [`STOP`].
pub(super) const HELP: &str = "help, info, aide, ayuda";

/// Every language that texts are written in.
pub(super) const ALL: [&Words; 15] =
    [&EN, &ES, &FR, &DE, &IT, &PT, &NL, &PL, &SV, &DA, &TR, &JA, &ZH, &AR, &HI];

/// English, which is read in every language.
pub(super) const EN: Words = Words {
    tag: "en",
    spaced: true,
    yes: "yes, y, ok, okay, yep, yeah, yup, sure, confirm, confirmed, i confirm, approve, \
        approved, yes i do, its me, it was me, that was me, this was me, this is me",
    no: "no, n, nope, nah, no way, not now, deny, denied, decline, declined, reject, rejected",
    not: "not, never, none, nothing, nobody, dont, do not, doesnt, didnt, isnt, aint, wasnt, \
        arent, cant, cannot, wont, wouldnt, shouldnt, havent, hasnt, without, wrong, refuse, \
        block, cancel, revoke, quit",
    fraud: "fraud, fraudster, fraudulent, scam, scammer, scammers, phishing, hacked, hacker, \
        hackers, imposter, impostor, stolen, not me, wasnt me, isnt me, aint me, wasnt myself, \
        not mine, isnt mine, wasnt mine, not my request, not my doing, not by me, someone else, \
        somebody else, did not request, didnt request, never requested, have not requested, \
        havent requested, did not ask for, didnt ask for, never asked for, did not do this, \
        didnt do this, did not sign in, didnt sign in, did not log in, didnt log in, \
        not logging in, not signing in, im not trying to, am not trying to, wasnt trying to, \
        unauthorized, unauthorised",
    fraud_alone: "",
    stop: "stop, stopall, unsubscribe, optout, opt out, opt me out, opting out, dont text me, \
        do not text me, dont text this number, do not text this number, dont text again, \
        do not text again, dont message me, do not message me, dont contact me, do not contact me, \
        dont send me, do not send me, dont send any more, do not send any more, dont send anymore, \
        dont want any more, do not want any more, dont want these, do not want these, \
        dont want your texts, never text me, never message me, never contact me, no more texts, \
        no more text, no more messages, no more sms, no more codes, quit texting, quit messaging, \
        quit sending, quit contacting, cease texting, leave me alone, lose my number, remove me, \
        remove my number, delete my number, take me off, take my number off",
    stop_alone: "cease, remove, stop it, end all, cancel all, cancel texts, cancel messages",
    stay: "dont stop, do not stop, didnt stop, never stop, cant stop, wont stop, bus stop, \
        train stop, one stop, non stop, full stop, stop by",
    start: "restart, resume, opt in, optin, subscribe, start again, start texts, start texting",
    help: "help me, i need help",
    polite: "please, pls, plz, thanks, thank you, thx, ty, sir, hi, hello, now",
    foreign: "",
};

const ES: Words = Words {
    tag: "es",
    spaced: true,
    yes: "si, sip, claro, claro que si, vale, de acuerdo, confirmo, confirmar, soy yo, si soy yo, \
        fui yo",
    no: "no, nop, rechazar, rechazo, niego, nunca",
    not: "ni, nada, nadie, tampoco, jamas, sin, cancelar, incorrecto",
    fraud: "fraude, estafa, estafador, estafadores, no soy yo, no fui yo, no he sido yo, \
        yo no fui, yo no he sido, no era yo, no lo pedi, no lo he pedido, yo no lo pedi, no pedi, \
        no he solicitado, no solicite, no lo solicite",
    fraud_alone: "yo no",
    stop: "no me envien mas, no me envies mas, no me envieis mas, no me manden mas, \
        no me mandes mas, no me mandeis mas, no me escriban mas, no me escribas mas, \
        no envien mas, no envies mas, no manden mas, no mas mensajes, no mas sms, no quiero mas, \
        no quiero recibir, no deseo recibir, dejen de, deja de enviarme, deja de mandarme, \
        deja de escribirme, deje de enviarme, darme de baja, dame de baja, denme de baja, \
        darse de baja, dejadme en paz, dejame en paz, dejenme en paz, no me molesten",
    stop_alone: "baja, alto, parar, pare, paren, para, basta, salir, fin, cancelar, detener",
    stay: "no dejen de",
    start: "iniciar, empezar, comenzar, alta, reanudar",
    help: "socorro, necesito ayuda",
    polite: "por favor, gracias, muchas gracias, hola",
    foreign: "y",
};

const FR: Words = Words {
    tag: "fr",
    spaced: true,
    yes: "oui, ouais, daccord, je confirme, confirmer, cest moi, oui cest moi, cetait moi",
    no: "non, nan, refuser, je refuse, jamais",
    not: "ne, pas, ni, rien, personne, aucun, sans, annuler, nest, refus",
    fraud: "fraude, arnaque, escroquerie, escroc, pas moi, ce nest pas moi, pas demande, \
        rien demande, jamais demande, pas a moi",
    fraud_alone: "moi non",
    stop: "ne menvoyez plus, ne menvoie plus, menvoyez plus, nenvoyez plus, nenvoie plus, \
        ne mecrivez plus, mecrivez plus, ne me contactez plus, me contactez plus, \
        plus de messages, plus de message, plus de sms, plus de textos, plus recevoir, arretez de, \
        arrete de, arretez, desabonnez moi, desabonner, me desabonner, desinscrire, \
        desinscrivez moi, laissez moi tranquille, cessez de, supprimez mon numero",
    stop_alone: "arreter, arrete, fin, desabonnement, desinscription, stopper, resilier",
    stay: "ne cessez de",
    start: "demarrer, commencer, debut, reprendre, reabonner",
    help: "aidez moi, au secours, besoin daide",
    polite: "sil vous plait, sil te plait, svp, stp, merci, merci beaucoup, bonjour",
    foreign: "y",
};

const DE: Words = Words {
    tag: "de",
    spaced: true,
    yes: "ja, jo, jawohl, jap, einverstanden, ich bestatige, bestatigt, bestatigen, das bin ich, \
        ja das bin ich, das war ich, ja das war ich",
    no: "nein, ne, nee, ablehnen, abgelehnt, abbrechen, niemals",
    not: "nicht, nie, kein, keine, keinen, nichts, niemand, ohne, weder, falsch, abbruch",
    fraud: "betrug, betruger, betruegerisch, schwindel, nicht ich, bin ich nicht, \
        ich bin das nicht, ich war das nicht, war ich nicht, nicht von mir, nicht angefordert, \
        nichts angefordert, nie angefordert, nicht angemeldet, gehackt, jemand anders, \
        jemand anderes",
    fraud_alone: "ich nicht",
    stop: "hor auf, hort auf, horen sie auf, hoer auf, hoeren sie auf, horen sie bitte auf, \
        hor bitte auf, aufhoren, aufhoeren, keine sms mehr, keine nachrichten mehr, \
        keine weiteren sms, keine weiteren nachrichten, keine codes mehr, keine texte mehr, \
        schreib mir nicht mehr, schreiben sie mir nicht mehr, schreibt mir nicht mehr, \
        nicht mehr schreiben, nicht mehr anschreiben, nicht mehr kontaktieren, \
        nichts mehr schicken, nichts mehr senden, nicht mehr senden, nichts mehr von euch, \
        nichts mehr von ihnen, lass mich in ruhe, lassen sie mich in ruhe, lasst mich in ruhe, \
        melden sie mich ab, meldet mich ab, abbestellen, stoppen, stopp",
    stop_alone: "abmelden, ende, beenden, kundigen, halt, schluss, austragen",
    stay: "nicht aufhoren, nicht aufhoeren, nicht stoppen",
    start: "starten, beginnen, anfangen, anmelden",
    help: "hilfe, brauche hilfe, ich brauche hilfe",
    polite: "bitte, danke, danke schon, vielen dank, hallo",
    foreign: "",
};

const IT: Words = Words {
    tag: "it",
    spaced: true,
    yes: "si, certo, daccordo, va bene, confermo, conferma, sono io, si sono io, ero io",
    no: "no, rifiuto, rifiuta, mai",
    not: "non, ne, niente, nulla, nessuno, senza, annulla, sbagliato",
    fraud: "frode, truffa, truffatori, truffatore, non sono io, non sono stato io, \
        non sono stata io, non ero io, non lho chiesto, non ho chiesto, non ho richiesto, \
        non lho richiesto, mai richiesto",
    fraud_alone: "io no, non io",
    stop: "non mi scrivete piu, non scrivetemi piu, non mi scriva piu, non scrivermi piu, \
        non mandatemi piu, non mi mandate piu, non inviatemi piu, non mi inviate piu, \
        non voglio piu, non voglio ricevere, basta messaggi, basta sms, basta con, smettetela, \
        smettila, smettete di, smetti di, smetta di, cancellatemi, cancellami, disiscrivetemi, \
        disiscrivimi, lasciatemi in pace, lasciami in pace",
    stop_alone: "basta, ferma, fermare, fine, annulla, disiscrivi, cancella",
    stay: "non smettete di, non smetta di",
    start: "inizia, iniziare, avvia, riprendi, riattiva",
    help: "aiuto, aiutatemi, aiutami",
    polite: "per favore, per piacere, grazie, grazie mille, ciao, buongiorno",
    foreign: "",
};

const PT: Words = Words {
    tag: "pt",
    spaced: true,
    yes: "sim, s, claro, confirmo, confirmar, sou eu, sim sou eu, fui eu, de acordo",
    no: "nao, nop, recuso, recusar, rejeitar, nunca",
    not: "nem, nada, ninguem, jamais, sem, cancelar, errado",
    fraud: "fraude, golpe, burla, golpista, nao sou eu, nao fui eu, nao era eu, nao pedi, \
        nao solicitei, eu nao pedi",
    fraud_alone: "eu nao",
    stop: "nao me envie mais, nao me enviem mais, nao me mande mais, nao me mandem mais, \
        nao envie mais, nao enviem mais, nao mande mais, nao mandem mais, nao me escreva mais, \
        nao quero mais, nao quero receber, nao desejo receber, chega de mensagens, chega de sms, \
        pare de, parem de, deixem de, para de mandar, para de me mandar, me tira da lista, \
        me tire da lista, remova meu numero, me descadastre, descadastrar, me deixe em paz, \
        me deixem em paz",
    stop_alone: "parar, pare, parem, sair, cancelar, fim, chega, basta, remover",
    stay: "nao pare de, nao parem de, nao deixem de",
    start: "iniciar, comecar, voltar, retomar",
    help: "ajuda, me ajude, preciso de ajuda, socorro",
    polite: "por favor, pf, obrigado, obrigada, ola, oi",
    // "In the", as in "recebido no celular".
    foreign: "no",
};

const NL: Words = Words {
    tag: "nl",
    spaced: true,
    yes: "ja, jawel, akkoord, bevestig, ik bevestig, bevestigd, dat ben ik, ja dat ben ik, \
        dat was ik",
    no: "nee, neen, weiger, ik weiger, nooit",
    not: "niet, geen, niets, niks, niemand, zonder, annuleren, fout",
    fraud: "fraude, oplichting, oplichter, oplichters, bedrog, niet ik, ben ik niet, \
        ik ben het niet, ik was het niet, was ik niet, niet van mij, niet aangevraagd, \
        niets aangevraagd, niet om gevraagd, gehackt",
    fraud_alone: "ik niet",
    stop: "stuur me geen, stuur mij geen, stuur geen, stuur me niets meer, stuur niets meer, \
        geen berichten meer, geen smsjes meer, geen sms meer, niet meer sturen, niet meer smsen, \
        niet meer appen, hou op, houd op, hou eens op, stoppen, uitschrijven, schrijf me uit, \
        schrijf mij uit, meld me af, laat me met rust, laat mij met rust",
    stop_alone: "afmelden, einde, opzeggen, annuleren, halt",
    stay: "niet stoppen",
    start: "starten, begin, beginnen, hervatten, aanmelden",
    help: "hulp, ik heb hulp nodig",
    polite: "alsjeblieft, alstublieft, aub, bedankt, dank je, dank u, dankjewel, hallo, hoi",
    foreign: "",
};

const PL: Words = Words {
    tag: "pl",
    spaced: true,
    yes: "tak, potwierdzam, zgoda, zgadzam sie, to ja, tak to ja, to bylem ja, to bylam ja",
    no: "nie, odrzuc, odrzucam, odmawiam, nigdy",
    not: "bez, nic, nikt, zaden, zadnych, anuluj, zly",
    fraud: "oszustwo, oszust, oszusci, wyludzenie, to nie ja, nie ja, nie bylem ja, nie bylam ja, \
        nie moje, nie prosilem, nie prosilam, nie zamawialem, nie zamawialam, nie logowalem, \
        nie logowalam",
    fraud_alone: "ja nie",
    stop: "przestan, przestancie, prosze przestac, przestac wysylac, nie pisz do mnie, \
        nie piszcie, nie pisz wiecej, nie wysylaj, nie wysylajcie, prosze nie wysylac, \
        prosze nie pisac, nie chce wiecej, nie chce dostawac, nie chce otrzymywac, zadnych wiecej, \
        koniec z sms, wypisz mnie, wypiszcie mnie, wypisac mnie, zostaw mnie w spokoju, \
        zostawcie mnie w spokoju",
    stop_alone: "koniec, zatrzymaj, rezygnuje, rezygnacja, anuluj, wypisz, stopuj",
    stay: "nie przestan, nie przestancie",
    start: "zacznij, rozpocznij, wznow",
    help: "pomoc, pomocy, potrzebuje pomocy",
    polite: "prosze, dziekuje, dzieki, witam, czesc",
    // In speech, "well, yes".
    foreign: "no",
};

const SV: Words = Words {
    tag: "sv",
    spaced: true,
    yes: "ja, japp, jo, javisst, bekrafta, bekraftar, jag bekraftar, det ar jag, det var jag, \
        ja det var jag",
    no: "nej, nix, avvisa, neka, aldrig",
    not: "inte, ej, ingen, inget, inga, ingenting, utan, avbryt, fel",
    fraud: "bedrageri, bluff, bedragare, inte jag, inte mig, var inte jag, inte min, inte bett om, \
        inte begart, hackad",
    fraud_alone: "jag inte",
    stop: "skicka inte, inga fler sms, inga fler meddelanden, inga mer sms, sluta, stoppa, \
        avregistrera, avprenumerera, ta bort mig, ta bort mitt nummer, lamna mig ifred, stopp",
    stop_alone: "avsluta, avanmal, slut",
    stay: "sluta inte, stoppa inte, inte sluta",
    start: "starta, borja, ateruppta",
    help: "hjalp, hjalp mig",
    polite: "tack, tack sa mycket, snalla, hej",
    foreign: "",
};

const DA: Words = Words {
    tag: "da",
    spaced: true,
    yes: "ja, jo, jep, javel, bekraeft, bekraefter, jeg bekraefter, det er mig, det var mig, \
        ja det var mig",
    no: "nej, naegter, afvis, aldrig",
    not: "ikke, ingen, intet, ingenting, uden, annuller, forkert",
    fraud: "svindel, bedrageri, svindler, svindlere, ikke mig, var ikke mig, ikke min, \
        ikke bedt om, ikke anmodet, hacket",
    fraud_alone: "jeg ikke",
    stop: "send ikke, ikke flere sms, ikke flere smser, ikke flere beskeder, ikke sende mig, \
        ingen flere, hold op, lad mig vaere, afmeld mig, slet mit nummer, fjern mig, stopp",
    stop_alone: "afmeld, afslut, slut",
    stay: "stop ikke, ikke stop",
    start: "begynd, genoptag, tilmeld",
    help: "hjaelp, hjaelp mig",
    // Polish says yes with the word that is thanks here.
    polite: "tak, mange tak, tak skal du have, venligst, hej",
    foreign: "",
};

const TR: Words = Words {
    tag: "tr",
    spaced: true,
    yes: "evet, e, onayliyorum, onayla, onay, kabul, tamam, benim, evet benim, bendim",
    no: "hayir, h, yok, reddet, reddediyorum, asla",
    not: "degil, degilim, degildi, hic, yanlis",
    fraud: "sahte, dolandiricilik, dolandirici, dolandiricilar, sahtekarlik, sahtekar, \
        ben degilim, ben degildim, bu ben degilim, ben istemedim, benim degil",
    fraud_alone: "ben yapmadim",
    stop: "mesaj atma, mesaj atmayin, mesaj gonderme, mesaj gondermeyin, sms gonderme, \
        sms gondermeyin, bana yazma, bana yazmayin, bir daha yazma, bir daha yazmayin, \
        gondermeyi birak, gondermeyi birakin, mesaj istemiyorum, sms istemiyorum, rahat birak, \
        rahat birakin, abonelikten cik, listeden cikar, listeden cikarin",
    stop_alone: "dur, durdur, durdurun, ret, iptal, cik, son, yeter",
    stay: "",
    start: "basla, baslat, devam",
    help: "yardim, yardim et, imdat",
    polite: "lutfen, tesekkurler, tesekkur ederim, sagol, merhaba",
    // "Number".
    foreign: "no, n",
};

const JA: Words = Words {
    tag: "ja",
    spaced: false,
    yes: "はい, ハイ, ﾊｲ, はいそうです, そうです, うん, ええ, 承認, 承認します, 確認しました, 同意します, 私です, はい私です, hai",
    no: "いいえ, イイエ, いえ, いや, いやです, ダメ, だめ, 拒否, 拒否します, 違う, 違います, ちがう, ちがいます, 否認, iie",
    not: "ない, なく, ません, じゃな, ではな, でな, ちが, 違, 否, 取消, キャンセル, 間違",
    fraud: "詐欺, 不正アクセス, 不正利用, 不正ログイン, 私ではありません, 私ではない, 私じゃない, 私じゃありません, 私はしていません, 自分ではありません, \
        自分ではない, 自分じゃない, 本人ではありません, 本人ではない, 僕じゃない, 身に覚えがない, 身に覚えがありません, 身に覚えのない, 心当たりがない, \
        心当たりがありません, 心当たりない, 頼んでいません, 頼んでない, 要求していません, 乗っ取り",
    fraud_alone: "さぎ",
    stop: "停止, 配信停止, 受信拒否, 送らないで, 送信しないで, 送るな, 送信するな, 連絡しないで, 連絡するな, メールしないで, もういらない, もう要らない, \
        もう結構, やめて, やめろ, 止めて, 退会, 配信解除, 登録解除, ストップ",
    stop_alone: "解除, 終了, 中止, やめる, 止める",
    stay: "停止しないで, 停止は不要",
    start: "開始, 再開, スタート, 配信再開",
    help: "ヘルプ, 助けて, 助けてください, たすけて",
    polite: "です, お願いします, おねがいします, よろしくお願いします, ください, ありがとう, ありがとうございます, 結構です, どうぞ",
    foreign: "",
};

const ZH: Words = Words {
    tag: "zh",
    spaced: false,
    yes: "是, 是的, 是我, 对, 對, 对的, 對的, 好, 好的, 确认, 確認, 同意, 确定, 確定, 可以, 是本人, 本人操作, 是我本人",
    no: "否, 不, 不是, 不要, 不行, 不可以, 不同意, 没有, 沒有, 拒绝, 拒絕, 取消, 不用, 不用了",
    not: "不, 没, 沒, 别, 別, 非, 未, 无, 無, 错, 錯, 拒",
    fraud: "欺诈, 欺詐, 诈骗, 詐騙, 骗子, 騙子, 不是我, 不是本人, 非本人, 并非本人, 盗用, 盜用, 被盗, 被盜, 冒充, 我没有申请, 我没申请, 我没有操作, \
        我没操作, 我沒有申請",
    fraud_alone: "没申请, 沒申請",
    stop: "退订, 退訂, 停止发送, 停止發送, 停止, 不要再发, 不要再發, 不要发, 不要發, 别再发, 別再發, 别发了, 別發了, 不要给我发, 不要給我發, 别给我发, \
        別給我發, 取消订阅, 取消訂閱, 不想再收到, 不想收到, 不要打扰, 不要打擾, 别打扰, 別打擾, 别烦我, 別煩我",
    stop_alone: "td, t, 停, 终止, 終止, 结束, 結束",
    stay: "不要停止, 别停止, 別停止, 不停止",
    start: "开始, 開始, 恢复, 恢復, 订阅, 訂閱",
    help: "帮助, 幫助, 求助, 帮忙, 幫忙, 救命",
    polite: "谢谢, 謝謝, 请, 請, 您好, 你好, 谢谢您, 多谢",
    foreign: "",
};

const AR: Words = Words {
    tag: "ar",
    spaced: true,
    yes: "نعم, اجل, ايوه, ايوا, اي, اوافق, موافق, موافقه, اوكد, تاكيد, تمام, نعم انا, هذا انا",
    no: "لا, كلا, ارفض, رفض, مرفوض",
    not: "ليس, ليست, لست, لم, لن, ما, غير, بدون, مش, مو, ابدا, خطا, الغاء",
    fraud: "احتيال, الاحتيال, احتيالي, نصب, نصاب, محتال, تزوير, سرقه, لست انا, ليس انا, مش انا, \
        مو انا, ما انا, لم اكن انا, لم اطلب, لم اطلبه, ما طلبت, لم اقم بذلك, شخص اخر",
    fraud_alone: "انا لا",
    stop: "توقف, توقفوا, اوقف, اوقفوا, ايقاف, اوقفوها, وقف, الغاء الاشتراك, الغاء اشتراكي, \
        الغ اشتراكي, لا ترسل, لا ترسلوا, لا ترسلي, لا تراسلني, لا تراسلوني, لا تبعث, لا تبعثوا, \
        لا اريد رسائل, لا اريد المزيد, لا اريد رسائلكم, لا تتواصلوا معي, لا تتصلوا بي, اتركوني, \
        ازيلوا رقمي, احذفوا رقمي, كفي",
    stop_alone: "قف, الغاء, انهاء, خروج",
    stay: "لا توقف, لا توقفوا",
    start: "ابدا الان, بدء, ابدء, اشتراك, استئناف, تفعيل",
    help: "مساعده, المساعده, ساعدني, ساعدوني, النجده",
    polite: "من فضلك, من فضلكم, لو سمحت, لو سمحتم, رجاء, شكرا, مرحبا, السلام عليكم",
    foreign: "",
};

const HI: Words = Words {
    tag: "hi",
    spaced: true,
    yes: "हां, जी, जी हां, हां जी, ठीक है, सहमत, मंजूर, पुष्टि, पुष्टि करता हूं, पुष्टि करती हूं, \
        मैं हूं, हां मैं हूं, haan, han, ji, ji haan, haan ji, theek hai",
    no: "नहीं, नही, ना, न, जी नहीं, कभी नहीं, अस्वीकार, मना, nahi, nahin, nahi ji, na",
    not: "मत, बिना, गलत, रद्द, mat, galat",
    fraud: "धोखा, धोखाधडी, धोखेबाज, ठगी, ठग, फ्रॉड, जालसाजी, मेरा नहीं, यह मैं नहीं, ये मैं नहीं, \
        मैं नहीं हूं, मैं नहीं था, मैं नहीं थी, मैंने नहीं किया, मैंने नहीं मांगा, dhokha, \
        dhokhadhadi, main nahi tha, main nahi hoon",
    fraud_alone: "मैं नहीं, मैं नही, मैंने नहीं, मैंने नही, main nahi, maine nahi",
    stop: "रोकें, रोको, रोकिए, रोक दो, रोक दीजिए, बंद करो, बंद करें, बंद कीजिए, बंद कर दो, \
        बन्द करो, बन्द करें, मत भेजो, मत भेजें, मत भेजिए, मत भेजना, मैसेज न भेजें, संदेश न भेजें, \
        न भेजें, ना भेजें, परेशान मत करो, परेशान न करें, सदस्यता समाप्त, स्टॉप, band karo, \
        mat bhejo, mat bhejna",
    stop_alone: "बंद, बन्द, समाप्त, रुको, रुकें, बस",
    stay: "मत रोको, न रोकें, ना रोकें",
    start: "शुरू, शुरू करें, शुरू करो, चालू, चालू करें",
    help: "मदद, मदद करें, मदद चाहिए, सहायता, madad",
    polite: "कृपया, धन्यवाद, शुक्रिया, नमस्ते, dhanyavad",
    foreign: "",
};
