/** Types of the API's client, which the server hands out below this path as it came from its package. */
import createClient from 'openapi-fetch';

// biome-ignore lint/style/noDefaultExport: the library's own form
export default createClient;
