/** Ids that exist here, by the collection that they are of; `pending` is a transaction that can still be posted or voided, `empty` an account that can be closed. */
export type ExampleIds = Readonly<
  Partial<
    Record<'merchants' | 'accounts' | 'empty' | 'transactions' | 'pending' | 'payments' | 'webhook_endpoints', string>
  >
>;

/** Actions that not every resource of their collection allows. */
const ID_OF_ACTION: Readonly<Record<string, keyof ExampleIds>> = {
  post: 'pending',
  void: 'pending',
  close: 'empty',
  reopen: 'empty',
};

/** What a supervisor that started the API with a channel may tell it. */
export interface SupervisorMessage {
  readonly exampleIds?: ExampleIds;
}

/** An id for `{id}` of a path, where one is known; none where it would take away what others work with. */
export function exampleIdOf(ids: ExampleIds, { method, path }: { method: string; path: string }): string | undefined {
  const [, , collection = '', , action = ''] = path.split('/');
  if (method === 'delete' || action === 'rotate_secret') return undefined;
  const of = collection === 'payments' ? undefined : ID_OF_ACTION[action];
  return ids[of ?? (collection as keyof ExampleIds)];
}
