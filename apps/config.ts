import { OUTBOX_SETTINGS } from '#outbox/settings.js';
import { CONFIG_EXIT_CODE, ConfigError, readSettings } from '#platform/config.js';
import type { RoomSettings, SettingsOf } from '#platform/room-settings.js';
import { PLATFORM_SETTINGS } from '#platform/settings.js';
import { API_SETTINGS } from './api/src/settings.js';
import { ROOMS } from './rooms.js';

type SettingsOfRooms = Extract<(typeof ROOMS)[number], { settings: RoomSettings }>['settings'];

/** All that the environment can say, in the order of docs/configuration.md, which is generated from this. */
export const SETTINGS = [
  PLATFORM_SETTINGS,
  OUTBOX_SETTINGS,
  ...ROOMS.flatMap((room): SettingsOfRooms[] => ('settings' in room ? [room.settings] : [])),
  API_SETTINGS,
];

export type Config = SettingsOf<(typeof SETTINGS)[number]>;

/** Throws ConfigError. */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  return readSettings(SETTINGS, environment);
}

/** Reads the environment for a process, which ends with one clear message when it is wrong. */
export function readConfigOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(`counterfoil: ${error.message}`);
    process.exit(CONFIG_EXIT_CODE);
  }
}
