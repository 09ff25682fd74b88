import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { logicalLines } from './shell.js';
import { until } from './until.js';

const ROOT = join(import.meta.dirname, '../..');
const shell = promisify(execFile);
const SHOWN_WITHIN_MS = 10_000;
/** `curl` that sends something. */
const WRITES = / (--data-binary|-d|-F) /;

/** Commands of a page, and what it shows below them. */
export interface Block {
  readonly code: string;
  readonly shown: string | undefined;
}

/** The blocks of a page of docs/ in their order; `heading`: those of this section alone. */
export function blocksOf(page: string, heading?: string): Block[] {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8');
  const section = heading === undefined ? text : (text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '');
  const fences = [...section.matchAll(/```(sh)?\n(.*?)\n```/gs)].map(([, kind, code = '']) => ({ kind, code }));
  return fences.flatMap(({ kind, code }, index) => {
    const after = fences[index + 1];
    return kind === 'sh' ? [{ code, shown: after?.kind === undefined ? after?.code : undefined }] : [];
  });
}

/** Pastes a page into a shell, in the checkout, with what was exported before. */
export class Pasting {
  #command = '';
  #output = '';

  constructor(private readonly exported: Record<string, string>) {}

  /** Answers what the last command of a block prints, and what the page shows, both without what differs each time. */
  async paste({ code, shown }: Block): Promise<{ printed: string; shown: string }> {
    for (const line of logicalLines(code)) await this.#do(line);
    if (shown === undefined) return { printed: '', shown: '' };
    const expected = withoutChance(shown);
    // What is only read may take a moment to come to that.
    if (!WRITES.test(this.#command)) await this.#readAgainUntil(expected);
    return { printed: withoutChance(this.#output), shown: expected };
  }

  async #readAgainUntil(expected: string): Promise<void> {
    const asShown = async () => {
      if (withoutChance(this.#output) === expected) return true;
      this.#output = await this.#run(this.#command);
      return false;
    };
    await until('it prints what is shown', asShown, SHOWN_WITHIN_MS).catch(() => undefined);
  }

  async #do(line: string): Promise<void> {
    const [, name, value = ''] = /^export (\w+)=(.*)$/.exec(line) ?? [];
    if (name === undefined) {
      if (line.trim() === '') return;
      this.#command = line;
      this.#output = await this.#run(line);
    } else {
      this.exported[name] = value.startsWith('<')
        ? filledIn(value, this.#output)
        : await this.#run(`${line}; printf %s "$${name}"`);
    }
  }

  async #run(line: string): Promise<string> {
    const env = { ...process.env, ...this.exported };
    return (await shell('sh', ['-c', line], { cwd: ROOT, env })).stdout;
  }
}

/** What a page leaves to its reader, who finds it in the answer before. */
function filledIn(placeholder: string, answer: string): string {
  const { id, data, secret, api_key: key } = JSON.parse(answer);
  const found = { '<its id>': id ?? data?.[0]?.id, '<the secret>': secret, '<the secret of its api_key>': key?.secret };
  const value = found[placeholder as keyof typeof found];
  if (typeof value !== 'string') throw new Error(`there is no ${placeholder} in ${answer}`);
  return value;
}

/** Ids, times, secrets and cursors are other ones each time. */
function withoutChance(text: string): string {
  return text
    .trim()
    .replaceAll('\r\n', '\n')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/\d{4}-\d\d-\d\d/g, '<date>')
    .replace(/\b\d{17,20}\b/g, '<id>')
    .replace(/"trace_id":"\w+"/g, '"trace_id":"…"')
    .replace(/"next_cursor":"[^"]+"/g, '"next_cursor":"…"')
    .replace(/cf[mo]_\w+/g, '<secret>');
}
