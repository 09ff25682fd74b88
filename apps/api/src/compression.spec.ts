import { expect, it } from 'vitest';
import { codingOf } from './compression.js';

it.each<[string | undefined, string | undefined]>([
  [undefined, undefined],
  ['', undefined],
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['gzip, deflate, br, zstd', 'br'],
  ['gzip;q=0.5, br;q=0.2', 'gzip'],
  ['GZIP; Q=0.1', 'gzip'],
  ['*', 'br'],
  ['*, br;q=0', 'gzip'],
  ['gzip;q=0', undefined],
  ['identity', undefined],
  ['identity, gzip;q=0.5', undefined],
  ['deflate', undefined],
  ['gzip;q=x', undefined],
])('of Accept-Encoding %j it takes %s', (header, coding) => expect(codingOf(header)).toBe(coding));
