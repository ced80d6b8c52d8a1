// Nothing but the call: code at the top level is on the main actor, and closures it gives to Dispatch would trap.
run()
