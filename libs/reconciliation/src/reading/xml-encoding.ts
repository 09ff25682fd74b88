import { TextDecoder } from 'node:util';
import { quoted } from './bad-value.js';
import { unreadable } from './unreadable-report.js';

const ENCODINGS = new Set(['utf-8', 'utf8', 'us-ascii', 'iso-8859-1', 'iso-8859-15', 'windows-1252']);

/** By what the file's first line says of it; UTF-8 where it does not. What is no character of it is read as U+FFFD. */
export function xmlDecoder(start: Buffer): TextDecoder {
  const [, encoding = 'utf-8'] =
    /^\s*(?:\xef\xbb\xbf)?<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.-]{1,40})["']/.exec(
      start.toString('latin1', 0, 400),
    ) ?? [];
  if (!ENCODINGS.has(encoding.toLowerCase())) throw unreadable(`is in ${quoted(encoding)}: send it as UTF-8`);
  return new TextDecoder(encoding);
}
