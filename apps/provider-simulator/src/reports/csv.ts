/** A line of a CSV file. */
export function csvLine(cells: readonly string[]): string {
  return `${cells.map(quoted).join(',')}\n`;
}

const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** YYYY-MM-DD HH:MM:SS, so many hours ahead of UTC. */
export function clockTime(ms: number, hoursAhead = 0): string {
  return new Date(ms + hoursAhead * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
}
