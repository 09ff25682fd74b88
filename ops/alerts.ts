import type { Alert } from './alert.js';
import { SERVICE_ALERTS } from './service-alerts.js';
import { WORK_ALERTS } from './work-alerts.js';

export const ALERTS: readonly Alert[] = [...SERVICE_ALERTS, ...WORK_ALERTS];

/** `DeadLetters` → `dead-letters`: where docs/operations.md says what to do. */
export function anchorOf(name: string): string {
  return name.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
}
