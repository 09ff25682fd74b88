/** Of a consumer's or reactor's queue. */
export function queueName(consumer: string): string {
  return `events-${consumer}`;
}
