// There and back with cpanel-node, from npm: HOST PORT TOKEN SERVER MPM...
// It knows one way only: GET /json-api/cpanel, the function named in a parameter, Basic. WHM looks
// there for functions of an account and would not find these; this panel has no accounts and runs
// its own. What is written so works here, but not on WHM.
const CPanel = require("cpanel-node");
const [host, port, token, server, ...mpms] = process.argv.slice(2);
const client = new CPanel({ host, port, user: "root", pass: token, https: false });

const call = async (name, values = {}) => {
  const pairs = [{ server }];
  for (const [key, value] of Object.entries(values))
    for (const item of [].concat(value)) pairs.push({ [key]: item });
  const { response } = await client.login("WHM", name, pairs);
  const answer = JSON.parse(response).cpanelresult;
  if (answer.error) throw new Error(`${name}: ${answer.error}`);
  return answer.data[0];
};

const change = async (mpm) => {
  const wanted = `ea-apache24-mod_mpm_${mpm}`;
  const { install, uninstall } = await call("package_manager_resolve_actions", { package: wanted });
  const { build } = await call("package_manager_submit_actions", { install, uninstall });
  let [lines, offset, running] = [0, 0, 1];
  while (running) {
    const log = await call("package_manager_get_build_log", { build, offset });
    lines += log.content.length;
    [offset, running] = [log.offset, log.still_running];
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const { active } = await call("package_manager_is_performing_actions", { build });
  const { packages } = await call("ea4_get_currently_installed_packages");
  const done = active === 0 && packages.includes(wanted);
  console.log(JSON.stringify({ client: "cpanel-node", mpm, build, lines, done }));
};

(async () => {
  for (const mpm of mpms) await change(mpm);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
