/** An element as it was read: text only where there are no children. */
export interface Read {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Read[];
  text: string;
}

const TOKEN = /<\?xml [^?]*\?>\s*|<(\/?)([A-Za-z][\w.-]*)((?:\s+[A-Za-z][\w.-]*="[^"<]*")*)\s*(\/?)>|([^<]+)/y;
const NO_CHARACTER = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u;
const NAMED: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Reads XML without entities of its own, comments and the like; throws where it is not well-formed. */
export function readXml(text: string): Read {
  if (NO_CHARACTER.test(text)) throw new Error('a character that XML does not have');
  const root: Read = { name: '', attributes: {}, children: [], text: '' };
  const open = [root];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const token = TOKEN.exec(text);
    const inner = open.at(-1) as Read;
    if (!token) throw new Error(`not well-formed at ${at}: ${text.slice(at, at + 40)}`);
    const [, isEnd, name, attributes = '', isEmpty, content] = token;
    if (content !== undefined) inner.text += unescaped(content);
    else if (isEnd) {
      if (inner.name !== name) throw new Error(`</${name}> ends <${inner.name}>`);
      open.pop();
    } else if (name !== undefined) {
      const child: Read = { name, attributes: attributesOf(attributes), children: [], text: '' };
      inner.children.push(child);
      if (!isEmpty) open.push(child);
    }
  }
  const [only, ...more] = root.children;
  if (open.length > 1 || !only || more.length > 0 || root.text.trim() !== '') throw new Error('not one element');
  return only;
}

function attributesOf(text: string): Record<string, string> {
  const all = [...text.matchAll(/([\w.-]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, unescaped(value)]);
  if (new Set(all.map(([key]) => key)).size < all.length) throw new Error(`an attribute twice: ${text}`);
  return Object.fromEntries(all);
}

function unescaped(text: string): string {
  return text.replaceAll(/&(?:#(\d+)|(\w+))?;?/g, (found, code, name) => {
    if (!/^&(#\d+|amp|lt|gt|quot|apos);$/.test(found)) throw new Error(`${found} is no reference`);
    return code === undefined ? (NAMED[name] as string) : String.fromCodePoint(Number(code));
  });
}

/** All elements below one that are found by a path of names. */
export function all(element: Read, path: string): Read[] {
  return path
    .split('/')
    .reduce((found, name) => found.flatMap(({ children }) => children.filter((one) => one.name === name)), [element]);
}

/** The text of the only one. */
export function textAt(element: Read, path: string): string {
  const [only, ...more] = all(element, path);
  if (!only || more.length > 0) throw new Error(`${more.length + Number(only !== undefined)} of ${path}`);
  return only.text;
}
