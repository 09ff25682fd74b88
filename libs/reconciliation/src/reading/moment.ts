import { BadValue, quoted } from './bad-value.js';

/**
 * Zones as reports abbreviate them. Each is taken as it is written, so CET is an hour ahead of UTC in summer too, and the hour that an
 * autumn night has twice is two different hours. CST and IST are not here: each is several zones, hours apart.
 */
const ABBREVIATED: Readonly<Record<string, number>> = {
  UTC: 0,
  GMT: 0,
  WET: 0,
  WEST: 60,
  BST: 60,
  CET: 60,
  CEST: 120,
  MEZ: 60,
  MESZ: 120,
  EET: 120,
  EEST: 180,
  MSK: 180,
  SGT: 480,
  HKT: 480,
  AWST: 480,
  JST: 540,
  KST: 540,
  AEST: 600,
  AEDT: 660,
  NZST: 720,
  NZDT: 780,
  BRT: -180,
  EDT: -240,
  EST: -300,
  CDT: -300,
  MDT: -360,
  MST: -420,
  PDT: -420,
  PST: -480,
};

const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d:?\d\d)?$/;
/** By months, from 1. */
const DAYS = [undefined, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/** Before and after it, what looks like a year is a mistake, and would stretch a report's period over it. */
const [FIRST_YEAR, LAST_YEAR] = [2000, 2099];

/** Milliseconds of the epoch. `zone`: of a time that does not say it itself; undefined: it has to. A day alone is its first moment. */
export function momentOf(text: string, zone: string | undefined): number {
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '0', own] = TIME.exec(text) ?? [];
  if (year === undefined || month === undefined || day === undefined) throw notATime(text, zone);
  const midnight = midnightOf(+year, +month, +day);
  if (Number.isNaN(midnight) || +hour > 23 || +minute > 59 || +second > 59) throw notATime(text, zone);
  const minutes = own === undefined ? minutesOf(zone, text) : ownMinutes(own, text);
  const seconds = (+hour * 60 + +minute - minutes) * 60 + +second;
  return midnight + seconds * 1_000 + Number(fraction.padEnd(3, '0').slice(0, 3));
}

/** NaN: there is no such day, or none that a report would tell of. */
function midnightOf(year: number, month: number, day: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0;
  const days = month === 2 ? 28 + leap : DAYS[month];
  const isDay = days !== undefined && day >= 1 && day <= days && year >= FIRST_YEAR && year <= LAST_YEAR;
  return isDay ? Date.UTC(year, month - 1, day) : Number.NaN;
}

const notATime = (text: string, zone?: string): BadValue => {
  const form = zone === undefined ? 'YYYY-MM-DDTHH:MM:SSZ' : 'YYYY-MM-DD HH:MM:SS';
  return new BadValue(`${quoted(text)} is no time: ${form} was expected, of the years ${FIRST_YEAR} to ${LAST_YEAR}`);
};

function minutesOf(zone: string | undefined, text: string): number {
  if (zone === undefined) throw new BadValue(`${quoted(text)} does not say its zone: end it with Z or +HH:MM`);
  const minutes = Object.hasOwn(ABBREVIATED, zone) ? ABBREVIATED[zone] : undefined;
  if (minutes === undefined) throw new BadValue(`${quoted(zone)} is not known as a time zone`);
  return minutes;
}

function ownMinutes(own: string, text: string): number {
  if (own === 'Z') return 0;
  const [hours, minutes] = [+own.slice(1, 3), +own.slice(-2)];
  if (hours > 14 || minutes > 59) throw notATime(text);
  return (own[0] === '-' ? -1 : 1) * (hours * 60 + minutes);
}
