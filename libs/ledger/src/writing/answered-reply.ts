import type { Refused } from '../posting/command.js';
import type { PostingReply } from '../posting/posting.js';
import { type KeptRefusal, recalledRefusal } from './group.js';
import type { Outcome } from './group-extension.js';

/** What an extension answered, as it was told first, or a refusal. */
export type AnsweredReply<Body extends object> = PostingReply<{ answer: Body } | { refusal: Refused }>;

/** The reply to a request of one command of an extension, whose answers have no `code`. */
export function answeredReply<Body extends object>(outcome: Outcome): AnsweredReply<Body> {
  if (outcome.kind === 'key_reused') return { result: { refusal: outcome.refused }, replayed: false };
  if (outcome.kind === 'replayed') return { result: resultOf(outcome.response ?? ''), replayed: true };
  const [decision] = outcome.decisions;
  if (!decision?.accepted) return { result: { refusal: decision ?? nothingDecided() }, replayed: false };
  return { result: resultOf('response' in decision ? decision.response : nothingDecided()), replayed: false };
}

/** What the writer keeps with a key. */
function resultOf<Body extends object>(response: string): AnsweredReply<Body>['result'] {
  const stored = JSON.parse(response) as Body | KeptRefusal;
  return 'code' in stored ? { refusal: recalledRefusal(stored) } : { answer: stored };
}

function nothingDecided(): never {
  throw new Error('the writer answered nothing of an extension');
}
