import http from 'k6/http';
import type { Noted } from './postings.ts';
import { JOURNAL } from './settings.ts';

/**
 * Clients of k6 share no memory: what verification has to know of the load is written to the console, which `npm run k6` keeps in a file,
 * and is read again from there (scripts/load/journal.mjs).
 */
type Note =
  | { readonly postings: readonly Noted[] }
  | { readonly heard: { follower: string; merchant: string; ids: readonly string[] } }
  | { readonly trace: { why: string; name: string; status: number; ms: number; id: string; said: string | undefined } };

export function note(what: Note): void {
  console.log(`note ${JSON.stringify(what)}`);
}

export function notedOf(merchant: string): Noted[] {
  return read<Noted[]>(`/postings?merchant=${merchant}`);
}

/** Ids of events by follower, as they were heard. */
export function heardOf(merchant: string): Record<string, string[]> {
  return read<Record<string, string[]>>(`/heard?merchant=${merchant}`);
}

function read<T>(path: string): T {
  const answer = http.get(JOURNAL + path, { tags: { name: 'journal' } });
  if (answer.status !== 200) throw new Error(`the journal answered ${answer.status}: ${answer.body}`);
  return answer.json() as T;
}
