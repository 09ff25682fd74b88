/** Ids that exist here, by the collection that they are of; `pending` is a transaction that can still be posted or voided. */
export type ExampleIds = Readonly<
  Partial<Record<'merchants' | 'accounts' | 'transactions' | 'pending' | 'webhook_endpoints', string>>
>;

/** What a supervisor that started the API with a channel may tell it. */
export interface SupervisorMessage {
  readonly exampleIds?: ExampleIds;
}

/** An id for `{id}` of a path, where one is known; none where it would take away what others work with. */
export function exampleIdOf(ids: ExampleIds, { method, path }: { method: string; path: string }): string | undefined {
  const [, , collection = '', , action = ''] = path.split('/');
  if (method === 'delete' || action === 'rotate_secret') return undefined;
  const wanted = action === 'post' || action === 'void' ? 'pending' : collection;
  return ids[wanted as keyof ExampleIds];
}
