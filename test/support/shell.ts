/** As much of a shell as documentation uses: quotes, `$NAME`, `\` at the end of a line, comments, `export NAME=value`. */

/** The text below a heading of a markdown document, up to the next one of its rank. */
export function sectionOf(markdown: string, heading: string): string {
  const [, rest] = markdown.split(`\n## ${heading}\n`);
  if (rest === undefined) throw new Error(`there is no section "${heading}"`);
  const section = rest.split('\n## ')[0] ?? '';
  return [...section.matchAll(/```sh\n(.*?)```/gs)].map(([, code]) => code).join('\n');
}

/**
 * The words of each command, one by one, so that a variable may depend on what came of the command before. `fill` gives an
 * exported variable whose value is left to the reader; undefined: it is as written.
 */
export function* commandsOf(
  text: string,
  variables: Record<string, string>,
  fill: (name: string) => string | undefined,
): Generator<string[]> {
  for (const line of logicalLines(text)) {
    const [, name, value] = /^\s*export (\w+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) {
      variables[name] = fill(name) ?? value;
      if (/[…<>]/.test(variables[name])) throw new Error(`nobody fills in ${name}=${value}`);
      continue;
    }
    const words = wordsOf(line, variables);
    if (words.length > 0) yield words;
  }
}

/** Lines joined where a quote is open or a backslash ends one. */
export function logicalLines(text: string): string[] {
  const lines: string[] = [];
  let [current, joint] = ['', ''];
  for (const line of text.split('\n')) {
    current += joint + line;
    if (current.endsWith('\\')) [current, joint] = [`${current.slice(0, -1)} `, ''];
    else if (isQuoteOpen(current)) joint = '\n';
    else {
      lines.push(current);
      [current, joint] = ['', ''];
    }
  }
  return lines;
}

function isQuoteOpen(text: string): boolean {
  let quote = '';
  for (const letter of text) {
    if (quote === '' && (letter === '"' || letter === "'")) quote = letter;
    else if (letter === quote) quote = '';
  }
  return quote !== '';
}

function wordsOf(line: string, variables: Record<string, string>): string[] {
  const words: string[] = [];
  const expand = (text: string): string =>
    text.replace(/\$(\w+)/g, (_, name: string) => {
      const value = variables[name];
      if (value === undefined) throw new Error(`$${name} is not set`);
      return value;
    });
  const pattern = /\s+|#.*$|((?:'[^']*'|"[^"]*"|[^\s'"])+)/gs;
  for (const [, word] of line.matchAll(pattern)) {
    if (word === undefined) continue;
    words.push(
      word.replace(
        /'([^']*)'|"([^"]*)"|[^'"]+/g,
        (part, single?: string, double?: string) => single ?? expand(double ?? part),
      ),
    );
  }
  return words;
}

export interface CurlRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | undefined;
}

/** What `curl` with these words sends. Throws for an option that it does not know. */
export function curlRequest(words: readonly string[]): CurlRequest {
  const request: CurlRequest = { method: 'GET', url: '', headers: {}, body: undefined };
  const rest = [...words.slice(1)];
  let asked: string | undefined;
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '-sS' || word === '-i') continue;
    // What is printed behind the answer.
    if (word === '-w') {
      rest.shift();
      continue;
    }
    if (word === '-X') asked = rest.shift();
    else if (word === '-H') {
      const [, name = '', value = ''] = /^([\w-]+): (.*)$/.exec(rest.shift() ?? '') ?? [];
      request.headers[name.toLowerCase()] = value;
    } else if (word === '-d') {
      request.method = 'POST';
      request.body = rest.shift();
    } else if (word.startsWith('http://')) {
      request.url = word;
    } else {
      throw new Error(`curl with ${word} is not known here`);
    }
  }
  return { ...request, method: asked ?? request.method };
}
