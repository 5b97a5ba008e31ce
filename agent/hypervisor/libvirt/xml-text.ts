/** Any text as the text of an XML element or attribute. Control characters are not allowed in XML in any spelling: they are left out. */
const ENTITIES: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', "'": '&apos;', '"': '&quot;' };
const CONTROL = /[^\P{Cc}\t\n\r]/gu;

export function xmlText(text: string): string {
  return text.replace(CONTROL, '').replace(/[<>&'"]/g, (character) => ENTITIES[character] ?? character);
}
