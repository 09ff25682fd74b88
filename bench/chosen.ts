/** `--only NAME,NAME`: all of them without it. One that there is not would leave a run without what it was asked for. */
export function chosen<Name extends string>(only: string | undefined, known: readonly Name[]): readonly Name[] {
  if (only === undefined) return known;
  const names = only.split(',');
  const unknown = names.filter((name) => !(known as readonly string[]).includes(name));
  if (unknown.length > 0) throw new Error(`--only knows no ${unknown.join(', ')}; it takes ${known.join(', ')}`);
  return names as Name[];
}
