import { unreadable } from './unreadable-report.js';

/** By their first bytes. */
const WRAPPINGS: readonly (readonly [what: string, magic: Buffer])[] = [
  ['compressed with gzip', Buffer.from([0x1f, 0x8b])],
  ['a zip archive, or a workbook of a spreadsheet', Buffer.from('PK\x03\x04', 'latin1')],
  ['a zip archive that is empty', Buffer.from('PK\x05\x06', 'latin1')],
  ['compressed with zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['compressed with xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a])],
  ['compressed with bzip2', Buffer.from('BZh', 'latin1')],
  ['a PDF', Buffer.from('%PDF-', 'latin1')],
  ['written in UTF-16', Buffer.from([0xff, 0xfe])],
  ['written in UTF-16', Buffer.from([0xfe, 0xff])],
];

/** Nobody unpacks a report for us: a small archive may hold more than any disk. */
export function refuseWrapped(start: Buffer): void {
  const found = WRAPPINGS.find(([, magic]) => start.subarray(0, magic.length).equals(magic));
  if (found) throw unreadable(`is ${found[0]}: send the report itself, as UTF-8 text`);
}
