/** A small writer of XML 1.0: whatever text it is given, what it writes is well-formed. */

/** Written already. */
export class Xml {
  constructor(readonly text: string) {}
}

type Child = Xml | string;

export function element(name: string, attributes: Record<string, string>, ...children: Child[]): Xml;
export function element(name: string, ...children: Child[]): Xml;
export function element(name: string, ...rest: (Record<string, string> | Child)[]): Xml {
  const [first] = rest;
  const hasAttributes = typeof first === 'object' && !(first instanceof Xml);
  const attributes = hasAttributes ? Object.entries(first) : [];
  const children = (hasAttributes ? rest.slice(1) : rest) as Child[];
  const opening = [name, ...attributes.map(([key, value]) => `${key}="${escaped(value)}"`)].join(' ');
  const content = children.map((child) => (child instanceof Xml ? child.text : escaped(child))).join('');
  return new Xml(content === '' ? `<${opening}/>` : `<${opening}>${content}</${name}>`);
}

export function xmlDocument(root: Xml): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${root.text}\n`;
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

/** What is no character of XML 1.0, escaped or not: most control characters, halves of surrogate pairs, U+FFFE and U+FFFF. */
const NO_CHARACTER = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu;

/** White space other than the space is written as a reference: a reader would make another of it. */
function escaped(text: string): string {
  return text
    .replaceAll(NO_CHARACTER, '\u{FFFD}')
    .replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? '')
    .replaceAll(/[\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}
