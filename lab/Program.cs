using Forengate.Lab.Machine;

if (args is [var verb, ..] && MachineVerbs.Knows(verb))
    return MachineVerbs.Run(args);
Console.Error.WriteLine("usage: twin VERB ...\n" + MachineVerbs.Usage);
return 2;
