/** Types of the chart library, which the server hands out below this path as it came from its package. */
import uPlot from 'uplot';

// biome-ignore lint/style/noDefaultExport: the library's own form
export default uPlot;
