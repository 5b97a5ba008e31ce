/** Times as people and programs write them in files. Input: text; output: UTC ms, NaN for what is no time. */

/** From here on a bare number counts milliseconds, below it seconds: 1e11 s is the year 5138, 1e11 ms is 1973. */
const MILLISECONDS_FROM = 1e11;

/** `2014-04-01 00:05:00`, with or without zone (without: UTC), or a number since 1970. */
export function timeOfText(text: string): number {
  const number = Number(text);
  if (text !== '' && Number.isFinite(number)) return number >= MILLISECONDS_FROM ? number : number * 1000;
  const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`;
  return /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d/.test(text) ? Date.parse(zoned.replace(' ', 'T')) : Number.NaN;
}
