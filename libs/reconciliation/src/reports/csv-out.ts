/** What spreadsheets take for a formula when a cell begins with it (OWASP, CSV Injection). */
const FORMULA = /^[=+\-@\t\r]/;
/** Numbers may begin with a minus, and mean nothing else. */
const NUMBER = /^-?[0-9]+$/;

/** A line of CSV (RFC 4180). A cell that would be a formula has an apostrophe before it. */
export function csvLine(cells: readonly (string | null)[]): string {
  return `${cells.map(cell).join(',')}\r\n`;
}

function cell(value: string | null): string {
  if (value === null || value === '') return '';
  const text = FORMULA.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
