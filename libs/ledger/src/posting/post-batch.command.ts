import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { AccountDirectory } from '../accounts/account-directory.js';
import { type KeptRefusal, recalledRefusal } from '../writing/group.js';
import { Writer } from '../writing/writer.js';
import type { PostRequest, Refused } from './command.js';
import { type PostingReply, type PostingResult, recall, resultOf } from './posting.js';

/** Posts many transactions under one key: `atomic` all or none, `independent` each for itself. All commit together. */
export class PostBatchCommand extends Command<PostingReply<PostingResult[] | { refusal: Refused }>> {
  constructor(
    readonly context: RequestContext,
    readonly mode: 'atomic' | 'independent',
    /** A refused one is malformed: of an atomic batch it is the answer, of an independent one the answer in its place. */
    readonly items: readonly (PostRequest | Refused)[],
    readonly idempotency: Idempotency,
  ) {
    super();
  }
}

@CommandHandler(PostBatchCommand)
export class PostBatchHandler implements ICommandHandler<PostBatchCommand> {
  constructor(
    readonly database: Database,
    readonly directory: AccountDirectory,
    private readonly writer: Writer,
  ) {}

  /** A list of results, or the one refusal of an atomic batch or a key. */
  async execute(command: PostBatchCommand): Promise<PostingReply<PostingResult[] | { refusal: Refused }>> {
    const { context, mode, idempotency } = command;
    const requests = command.items.filter((item): item is PostRequest => !('accepted' in item));
    const { commands: posts, accounts } = await this.directory.resolve(context, requests);
    let next = 0;
    const commands = command.items.map((item) => {
      const post = 'accepted' in item ? item : posts[next++];
      if (!post) throw new Error('a request without a command');
      return post;
    });
    const { submission, outcome } = await this.writer.post(context, { mode, commands, accounts, idempotency });
    if (outcome.kind === 'key_reused') return { result: { refusal: outcome.refused }, replayed: false };
    if (outcome.kind === 'decided') {
      const results = outcome.decisions.map((decision) => resultOf(submission, decision));
      const [first] = results;
      const failed = mode === 'atomic' && first && 'refusal' in first;
      return { result: failed ? first : results, replayed: false };
    }
    const stored: unknown = JSON.parse(outcome.response ?? '');
    if (!Array.isArray(stored)) return { result: { refusal: recalledRefusal(stored as KeptRefusal) }, replayed: true };
    const items = stored.map((item: string | KeptRefusal) =>
      typeof item === 'string' ? BigInt(item) : recalledRefusal(item),
    );
    return { result: await recall(context, this, items), replayed: true };
  }
}
