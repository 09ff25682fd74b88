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
  const attributes = hasAttributes ? first : {};
  const children = (hasAttributes ? rest.slice(1) : rest) as Child[];
  const content = children.map((child) => (child instanceof Xml ? child.text : escaped(child))).join('');
  const opening = openingOf(name, attributes);
  return new Xml(content === '' ? `<${opening}/>` : `<${opening}>${content}</${name}>`);
}

/** An element with much in it, piece by piece. */
export function* long(name: string, attributes: Record<string, string>, content: Iterable<Xml>): Generator<Xml> {
  yield new Xml(`<${openingOf(name, attributes)}>`);
  yield* content;
  yield new Xml(`</${name}>`);
}

export function* xmlDocument(root: Iterable<Xml>): Generator<string> {
  yield '<?xml version="1.0" encoding="UTF-8"?>\n';
  for (const { text } of root) yield text;
  yield '\n';
}

function openingOf(name: string, attributes: Record<string, string>): string {
  return [name, ...Object.entries(attributes).map(([key, value]) => `${key}="${escaped(value)}"`)].join(' ');
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
