/**
 * Fits the heavy models that are due, one after the other, in the threads of a FitService. Input: the models, the service;
 * output: models that have adopted what was fitted. The service keeps to its CPU budget, so a turn takes as long as that
 * allows; a fleet too large for it is fitted round by round, each VM when its turn comes.
 */
import { isHeadroomError } from '../../shared/errors.ts';
import type { FitService, Fitting } from '../core/forecast/fitted/fit.ts';

export interface FitLoopOptions {
  /** Models that want a fit by now, found while one goes on. */
  due: Iterable<Fitting>;
  service: FitService;
  /** True: no further fit is begun. */
  stopped: () => boolean;
  onFailure: (error: unknown) => void;
}

/** Fits made. */
export async function runFits({ due, service, stopped, onFailure }: FitLoopOptions): Promise<number> {
  let fits = 0;
  for (const model of due) {
    if (stopped()) break;
    const request = model.fitWanted();
    if (request === null) continue;
    try {
      const { fit } = await service.fit(request);
      model.adoptFit(request, fit);
      fits++;
    } catch (error) {
      if (isHeadroomError(error, 'CANCELLED')) break;
      // No path, and none asked for until the next is due: a model that cannot be fitted is served without.
      model.adoptFit(request, null);
      onFailure(error);
    }
  }
  return fits;
}
