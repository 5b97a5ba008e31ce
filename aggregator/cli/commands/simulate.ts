/** `headroom simulate`: hands over to the simulation, which is loaded only then. */
import { errorText, HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { OwnCommand } from '../command.ts';

export const simulate: OwnCommand = {
  kind: 'own',
  name: 'simulate',
  summary: 'a simulated fleet from one seed, with faults, checked at every instant',
  async run(argv, io) {
    const { simulateCommand } = await import('../../../simulation/main.ts');
    try {
      return await simulateCommand(argv, { out: (line) => io.out(`${line.trimEnd()}\n`), err: (line) => io.err(`${line}\n`) });
    } catch (error) {
      if (isHeadroomError(error) || !String((error as { code?: string }).code).startsWith('ERR_PARSE_ARGS')) throw error;
      throw new HeadroomError('USAGE', `simulate: ${errorText(error).split('. ')[0]}; "headroom help simulate" tells how it is used`);
    }
  },
};
