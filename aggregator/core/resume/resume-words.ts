/** Says for people when a suspended VM will be wanted. Pure. Times are UTC. */
import type { CompanyPrediction } from './resume-company.ts';

const MINUTE_MS = 60_000;

export function resumePredictionWords(resumes: number, probability: number, withinMs: number, likeliestAtMs: number | null): string {
  if (resumes === 0) return 'it was never brought back yet: nothing is known of when it is wanted';
  const soon = `by ${resumes} earlier ${resumes === 1 ? 'resume' : 'resumes'} it is wanted within ${Math.round(withinMs / MINUTE_MS)} min with ${Math.round(probability * 100)} %`;
  if (likeliestAtMs === null) return `${soon}; no time of the next day stands out`;
  return `${soon}; likeliest at about ${new Date(likeliestAtMs).toISOString().slice(0, 16).replace('T', ' ')}`;
}

/** Empty: the others of its rule are not coming back now. */
export function companyWords({ probability, moments }: CompanyPrediction): string {
  if (moments === 0) return '';
  const times = `${moments} ${moments === 1 ? 'time' : 'times'}`;
  return `; others of its rule are coming back now, and by the last ${times} they did it follows with ${Math.round(probability * 100)} %`;
}
