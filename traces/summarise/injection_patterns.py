"""What injections say, by language: patterns of RE2, without case. Decision 041 says how they were chosen."""

from typing import Final

__all__ = ["NAMED", "STRONG", "WEAK"]

_S = r"[\s\x{a0}]+"
_DROP = r"(?:ignore|disregard|forget|override|bypass|set aside|pay no attention to)"
_BEFORE = r"(?:previous|prior|above|earlier|preceding|foregoing|existing|original|initial|system|former)"
_ORDERS = r"(?:instructions?|prompts?|rules|guidelines|directives|orders|programming|guardrails|constraints|restrictions)"
_MODEL = (
    r"(?:ai|a\.i\.|llms?|(?:large )?language models?|ai[ -](?:assistants?|agents?|models?|systems?)|chatbots?"
    r"|automated (?:agents?|assistants?|systems?)|chatgpt|gpt-?[0-9]\w*|claude|gemini|copilot)"
)
_HIDDEN_PROMPT = (
    r"(?:system|hidden|secret|initial|original|developer|internal)"
    + _S
    + r"(?:prompts?|instructions?|messages?|rules)"
)

_DROPS: Final = "tells the model to drop its instructions"
_SHOWS: Final = "asks for the system prompt"
_CHANGES: Final = "puts other instructions in place of the model's"
_SPEAKS: Final = "speaks to the model"
_TEMPLATE: Final = "imitates the marks between a conversation's turns"

STRONG: Final[tuple[tuple[str, str], ...]] = (
    # English
    (_DROPS, rf"\b{_DROP}{_S}(?:(?:all|any|every)(?:{_S}of)?{_S})(?:(?:the|your|my|these){_S})?(?:{_BEFORE}{_S})+{_ORDERS}\b"),
    (_DROPS, rf"\b{_DROP}{_S}(?:all(?:{_S}of)?{_S})?your{_S}(?:{_BEFORE}{_S}|own{_S}|safety{_S})*{_ORDERS}\b"),
    (_DROPS, rf"\b{_DROP}{_S}{_BEFORE}{_S}{_ORDERS}\b"),
    (_DROPS, rf"\b{_DROP}{_S}(?:the|your){_S}(?:system{_S}(?:prompt|message)|developer{_S}message)\b"),
    (_SHOWS, rf"\b(?:reveal|show|print|output|repeat|leak|disclose|display|tell{_S}me|give{_S}me|send{_S}me|write{_S}out|quote|recite){_S}(?:me{_S})?(?:all{_S}of{_S})?your{_S}(?:(?:full|entire|exact|complete|whole){_S})*{_HIDDEN_PROMPT}\b"),
    (_SHOWS, rf"(?:^|[.!?:;\n]\s*|\b(?:and|then|now|please|must),?{_S})(?:reveal|print|output|repeat|leak|disclose|recite){_S}(?:the{_S})?(?:(?:full|entire|exact|complete|whole){_S})*system{_S}prompt\b"),
    (_CHANGES, rf"\b(?:new|updated|revised){_S}system{_S}(?:prompt|instructions?|message)\s*:"),
    (_CHANGES, rf"\byour{_S}new{_S}(?:instructions|system{_S}prompt|directives?){_S}(?:are|is)\b"),
    (_CHANGES, rf"\b(?:change|replace|rewrite|update|overwrite|modify){_S}your{_S}(?:(?:own|current){_S})?(?:system{_S}prompt|system{_S}instructions|system{_S}message)\b"),
    (_CHANGES, rf"\byou{_S}are{_S}(?:now|no{_S}longer){_S}(?:\w+{_S}){{0,4}}(?:ai|a\.i\.|language{_S}model|chatbot|jailbroken|dan|bound{_S}by{_S}your)\b"),
    (_SPEAKS, rf"\bif{_S}you{_S}are{_S}(?:an?{_S})?{_MODEL}\b"),
    (_SPEAKS, rf"\bas{_S}an?{_S}{_MODEL}\s*,?\s*you{_S}(?:must|should|shall|will|need|have{_S}to|are{_S}required)\b"),
    (_SPEAKS, rf"\b(?:attention|notes?|notice|message|instructions?|important|warning)\s*(?:,|:|to|for)?{_S}(?:all{_S}|any{_S}|the{_S}|every{_S})?(?:{_MODEL}|support{_S}systems)\s*[:!]"),
    (_TEMPLATE, r"<\|(?:im_start|im_end|system|assistant|user|start_header_id|end_header_id|eot_id|endoftext)\|>|<</?SYS>>|\[/?INST\]"),
    # German
    (_DROPS, rf"\b(?:ignorier(?:e|en{_S}sie)|vergiss|vergessen{_S}sie|missachte|übergehe){_S}(?:bitte{_S})?(?:alle|sämtliche|deine|all{_S}deine){_S}(?:(?:deine|bisherigen|vorherigen|vorigen|vorangegangenen|obigen|früheren|ursprünglichen){_S})*(?:anweisungen|instruktionen|befehle|prompts?|systemanweisungen)"),
    (_SHOWS, rf"\b(?:zeige?|verrate?|nenne?|gib|wiederhole?|drucke?){_S}(?:\w+{_S}){{0,2}}deinen?{_S}(?:\w+{_S}){{0,2}}(?:system[- ]?prompt|systemanweisung(?:en)?|systemnachricht)"),
    (_SPEAKS, rf"\bwenn{_S}(?:du|sie){_S}(?:eine?{_S})(?:ki|sprachmodell|ki-\w+|chatbot){_S}(?:bist|sind)\b"),
    (_CHANGES, rf"\bdu{_S}bist{_S}(?:jetzt|nun|ab{_S}jetzt|ab{_S}sofort|nicht{_S}mehr){_S}(?:\w+{_S}){{0,4}}(?:ki|sprachmodell|ki-\w+|chatbot)\b"),
    (_CHANGES, rf"\b(?:neue[rs]?|ändere{_S}deine[n]?){_S}(?:system-?prompt|systemanweisung(?:en)?)\b"),
    # French
    (_DROPS, rf"\b(?:ignore[zr]?|oublie[zr]?|n[e']{_S}?tiens{_S}pas{_S}compte|ne{_S}tenez{_S}pas{_S}compte){_S}(?:de{_S})?(?:toutes{_S}(?:les|tes|vos|ces)|tes){_S}(?:instructions|consignes|directives)"),
    (_SHOWS, rf"(?:révèle|affiche|montre|donne|répète|écris)[sz]?(?:-moi)?{_S}(?:\w+{_S}){{0,2}}(?:ton|tes|votre){_S}(?:prompt{_S}système|message{_S}système|invite{_S}système|instructions{_S}système)"),
    (_SPEAKS, rf"\bsi{_S}(?:tu{_S}es|vous{_S}êtes){_S}une?{_S}(?:ia|intelligence{_S}artificielle|modèle{_S}de{_S}langage|assistant{_S}(?:ia|virtuel)|chatbot)"),
    (_CHANGES, rf"\btu{_S}(?:es{_S}(?:maintenant|désormais)|n'es{_S}plus){_S}(?:\w+{_S}){{0,4}}(?:ia|modèle{_S}de{_S}langage|chatbot)"),
    # Spanish
    (_DROPS, rf"\b(?:ignor[ae]|olvid[ae]|descart[ae]|omit[ae]){_S}(?:todas{_S}(?:las|tus|sus|estas)|tus){_S}(?:instrucciones|órdenes|directrices|indicaciones)"),
    (_SHOWS, rf"\b(?:revela|muestra|imprime|repite|dime|escribe|muéstrame){_S}(?:\w+{_S}){{0,2}}(?:tu|tus){_S}(?:prompt|mensaje|instrucciones){_S}(?:del?{_S})?sistema"),
    (_SPEAKS, rf"\bsi{_S}eres{_S}una?{_S}(?:ia|inteligencia{_S}artificial|modelo{_S}de{_S}lenguaje|asistente{_S}(?:de{_S}ia|virtual)|chatbot)"),
    (_CHANGES, rf"\b(?:ahora{_S}eres|ya{_S}no{_S}eres){_S}(?:\w+{_S}){{0,4}}(?:ia|modelo{_S}de{_S}lenguaje|chatbot)\b"),
    # Italian, Portuguese, Dutch
    (_DROPS, rf"\b(?:ignora|dimentica){_S}(?:tutte{_S}le|le{_S}tue){_S}(?:tue{_S})?(?:istruzioni|regole)"),
    (_DROPS, rf"\b(?:ignor[ae]|esqueça|desconsidere){_S}(?:todas{_S}as|as{_S}suas){_S}(?:suas{_S})?instruções"),
    (_DROPS, rf"\b(?:negeer|vergeet){_S}(?:alle|al{_S}je|je){_S}(?:\w+{_S}){{0,2}}(?:instructies|aanwijzingen)"),
    # Chinese and Japanese
    (_DROPS, r"(?:忽略|无视|忘记|忽視)(?:你|您)?(?:的)?(?:所有|全部|之前|以上|先前|此前|上述)(?:的|所有|全部|之前|以上)*(?:指令|指示|提示词|提示|命令)"),
    (_DROPS, r"(?:これまで|以前|上記|今まで)の(?:すべての|全ての)?(?:指示|命令|プロンプト)を(?:すべて|全て)?(?:無視|忘れ)"),
)  # fmt: skip

# Ordinary among people; a sign where the model is named beside it.
WEAK: Final[tuple[tuple[str, str], ...]] = (
    (_DROPS, rf"\b{_DROP}{_S}(?:the|these|those|any){_S}(?:{_BEFORE}{_S})?(?:{_ORDERS}|limits?|polic(?:y|ies))\b"),
    (_CHANGES, rf"\bfrom{_S}now{_S}on,?{_S}you{_S}(?:are|must|will|should)\b"),
    (_SPEAKS, rf"\b(?:do{_S}not|don't|never){_S}(?:tell|inform|mention|alert|warn){_S}(?:\w+{_S}){{0,4}}(?:user|human|customer|operator|notice|message|note)\b"),
    (_DROPS, rf"(?:ignorier(?:e|en{_S}sie)|vergiss){_S}(?:bitte{_S})?die{_S}(?:\w+{_S})?(?:anweisungen|regeln)"),
    (_DROPS, rf"(?:ignore[zr]?|oublie[zr]?){_S}les{_S}(?:instructions|consignes|règles)"),
    (_DROPS, rf"(?:ignor[ae]|olvid[ae]){_S}las{_S}(?:instrucciones|reglas|indicaciones)"),
)  # fmt: skip
# That the model is spoken to.
NAMED: Final = (
    rf"\b(?:{_MODEL}|(?:support|automated){_S}systems?|ki|sprachmodell|ia|modèle{_S}de{_S}langage"
    rf"|modelo{_S}de{_S}lenguaje)\b"
)
