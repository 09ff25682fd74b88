import type { ReceivedSpan } from './otlp.js';

export interface TreeOptions {
  /** Spans that are not shown; what lies below them is not shown either. */
  without?: (span: ReceivedSpan) => boolean;
  /** Siblings by name, where it is chance which begins first. */
  byName?: boolean;
  /** What is shown of a span behind its name. */
  showing?: (span: ReceivedSpan) => string;
}

/**
 * The spans of a trace as a tree, one a line, siblings in the order of their starts: `  name`, ` !` where it failed, and ` → names` of the
 * spans of other traces that it links to. One whose parent has not arrived is shown below `(missing)`.
 */
export function treeOf(all: readonly ReceivedSpan[], traceId: string, options: TreeOptions = {}): string[] {
  const { without = () => false, showing = () => '', byName = false } = options;
  const own = all
    .filter((span) => span.traceId === traceId)
    .sort((a, b) => (byName && a.name !== b.name ? (a.name < b.name ? -1 : 1) : a.startMs - b.startMs));
  const names = new Map(all.map(({ spanId, name }) => [spanId, name]));
  const lines: string[] = [];
  const show = (span: ReceivedSpan, depth: number): void => {
    if (without(span)) return;
    const links = span.links.map(({ spanId }) => names.get(spanId) ?? '(missing)').sort();
    const told = links.length > 0 ? ` → ${links.join(', ')}` : '';
    lines.push(`${'  '.repeat(depth)}${span.name}${showing(span)}${span.failed ? ' !' : ''}${told}`);
    for (const child of own) if (child.parentId === span.spanId) show(child, depth + 1);
  };
  for (const span of own) if (span.parentId === undefined) show(span, 0);
  const orphans = own.filter(({ parentId }) => parentId !== undefined && !names.has(parentId));
  if (orphans.length > 0) lines.push('(missing)');
  for (const span of orphans) show(span, 1);
  return lines;
}
