import { cpus } from 'node:os';
import { JsonReader } from '../apps/api/src/json-reader.js';

/** `npm run bench:bodies`: what a byte of a request body costs, whatever the bytes are. Beside it, what JSON.parse takes. */

const BYTES = 1_048_576;
const ROUNDS = 5;
/** The kernel counts a thread's CPU in milliseconds: so many bytes take long enough. */
const BYTES_PER_ROUND = 6 * BYTES;

/** Lists of up to 1,000 pieces in a list, for no list of a body may be longer than 2,000. */
function lists(piece: (index: number) => string, perList = 1_000): string {
  const parts: string[] = [];
  for (let length = 0, index = 0; length < BYTES; index += 1) {
    const next = piece(index);
    parts.push(index === 0 ? '[[' : index % perList === 0 ? '],[' : ',', next);
    length += Buffer.byteLength(next) + 1;
  }
  return `${parts.join('')}]]`;
}

/** Maps of 500 members each, whose names are `name(n)`. */
function maps(name: (index: number) => string): string {
  const members = (from: number) =>
    Array.from({ length: 500 }, (_, index) => `${JSON.stringify(name(from + index))}:0`).join(',');
  return lists((index) => `{${members(index * 500)}}`);
}

const entry = (code: string, direction: string) =>
  `{"account_code":"${code}","direction":"${direction}","amount":"1250","currency":"EUR"}`;
const posting = (index: number) =>
  `{"type":"transfer","external_ref":"order-${index}","entries":[${entry('wallet:alice', 'debit')},${entry('wallet:bob', 'credit')}]}`;

/** Ordinary ones first, then what an attacker would send. */
const BODIES: [string, string][] = [
  ['a posting of 217 bytes', posting(1)],
  ['a batch of postings', lists(posting)],
  ['one long text', `["${'x'.repeat(BYTES)}"]`],
  ['one long text, Cyrillic', `["${'ж'.repeat(BYTES / 2)}"]`],
  ['white space', `[${' '.repeat(BYTES)}0]`],
  ['one fraction among texts', lists((index) => (index === 0 ? '1.5' : `"${'x'.repeat(90)}"`))],
  ['fractions', lists(() => '1.5')],
  ['exponents', lists(() => '1e3')],
  ['zeros', lists(() => '0')],
  ['numbers of 16 digits', lists(() => '9007199254740991')],
  ['one number of a million digits', `[${'9'.repeat(BYTES)}]`],
  ['one fraction of a million digits', `[0.${'9'.repeat(BYTES)}]`],
  ['texts of one character', lists(() => '"a"')],
  ['empty texts', lists(() => '""')],
  ['texts of 13 characters', lists(() => '"abcdefghijklm"')],
  ['texts of 13 characters, not ASCII', lists(() => '"abcdefghijklж"')],
  ['one text of escapes', `["${'\\n'.repeat(BYTES / 2)}"]`],
  ['one text of \\u escapes', `["${'\\u0416'.repeat(BYTES / 6)}"]`],
  ['one text of backslashes', `["${'\\\\'.repeat(BYTES / 2)}"]`],
  ['texts of one escape', lists(() => '"\\n"')],
  ['texts of one pair of surrogates', lists(() => '"\\ud83d\\ude00"')],
  ['empty lists, as close as they may be', lists(() => `[${' '.repeat(14)}]`)],
  ['empty maps, as close as they may be', lists(() => `{${' '.repeat(14)}}`)],
  ['maps of one member', lists(() => '{"a":0        }')],
  ['eighteen levels, again and again', lists(() => `${'['.repeat(18)}${']'.repeat(18)}${' '.repeat(260)}`)],
  ['names that are all different', maps((index) => `n${index.toString(36)}`)],
  ['names that are long', maps((index) => `${'n'.repeat(100)}${index}`)],
  ['names that are numbers', maps((index) => String(index))],
  ['names that are numbers, far apart', maps((index) => String((index * 2_654_435_761) % 4_294_967_291))],
  ['names of escapes', maps((index) => `\n${index.toString(36)}`)],
  ['names that collide in V8 (same low 24 bits)', maps((index) => String(index * 16_777_216 + 7))],
];

interface Cost {
  reader: number;
  parse: number;
}

function measure(text: string): Cost {
  const bytes = Buffer.from(text);
  const times = Math.max(1, Math.round(BYTES_PER_ROUND / bytes.length));
  const perByte = (work: () => unknown) => {
    const before = process.threadCpuUsage();
    for (let count = 0; count < times; count += 1) work();
    const { user, system } = process.threadCpuUsage(before);
    return ((user + system) * 1_000) / times / bytes.length;
  };
  const runs = { reader: [] as number[], parse: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    runs.reader.push(perByte(() => new JsonReader(bytes).read()));
    runs.parse.push(perByte(() => JSON.parse(bytes.toString())));
  }
  return { reader: median(runs.reader), parse: median(runs.parse) };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}

const rows = BODIES.map(([name, text]) => ({ name, ...measure(text) }));
const figure = (value: number) => value.toFixed(value < 10 ? 2 : 1);
console.log(
  `Node ${process.versions.node}, ${cpus().length} cores; CPU of the thread, median of ${ROUNDS} rounds; a MiB each but the first.\n`,
);
console.log('| body | reader, ns/byte | JSON.parse, ns/byte | reader ÷ JSON.parse |\n|---|---|---|---|');
for (const { name, reader, parse } of rows) {
  console.log(`| ${name} | ${figure(reader)} | ${figure(parse)} | ${figure(reader / parse)} |`);
}
const spread = (of: keyof Cost) => {
  const costs = rows.map((row) => row[of]);
  return `worst ${figure(Math.max(...costs))}, best ${figure(Math.min(...costs))}, worst ÷ best ${figure(Math.max(...costs) / Math.min(...costs))}`;
};
console.log(`\nReader: ${spread('reader')}.\nJSON.parse: ${spread('parse')}.`);
