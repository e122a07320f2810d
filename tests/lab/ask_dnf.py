"""Puts many questions to dnf's own solver in one process. Run by the system's Python:
``ask_dnf.py DRIVERS REQUEST`` with the folder of dnf_resolve.py and a JSON object
{options, goals: [{install, remove}]}; prints the list of its answers."""

import json
import sys

sys.path.append(sys.argv[1])  # behind the system's modules: a module there is called dnf too

import dnf
import dnf_resolve


def main(request):
    base = dnf_resolve.load(request["options"], [])
    answers = []
    for goal in request["goals"]:
        base.reset(goal=True)
        try:
            dnf_resolve.mark(base, goal["install"], goal["remove"], [])
            answers.append(dnf_resolve.answer(base, goal["install"], goal["remove"], True))
        except dnf_resolve.Refused as error:
            answers.append({"error": {"code": error.code, "message": error.message}})
        except dnf.exceptions.MarkingError as error:
            answers.append({"error": {"code": "no_such_package", "message": str(error)}})
    base.close()
    return answers


sys.stdout.write(json.dumps(main(json.loads(sys.argv[2]))) + "\n")
