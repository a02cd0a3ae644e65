using Forengate.Lab;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

const int Failed = 1;
const int WrongUsage = 2;
try
{
    switch (args)
    {
        case ["make", .. var rest]:
            return MakeVerb.Run(rest);
        case ["pdb", .. var rest]:
            return PdbVerb.Run(rest);
        case ["builds"]:
            BuildsVerb.Run();
            return 0;
        case ["tables", var folder]:
            TableVerb.Write(SharedData.Find() ?? throw new TableException("no data of real kernels beside this checkout"), folder);
            return 0;
        case [var verb, ..] when MachineVerbs.Knows(verb):
            return MachineVerbs.Run(args);
        default:
            Console.Error.WriteLine("twin VERB …\n\n" + MakeVerb.Usage + "\n" + MachineVerbs.Usage + "\n" + PdbVerb.Usage + "\ntwin builds\ntwin tables FOLDER");
            return WrongUsage;
    }
}
catch (UsageException e)
{
    Console.Error.WriteLine("twin: " + e.Message + "; 'twin' alone lists what it takes");
    return WrongUsage;
}
catch (Exception e) when (e is ImageException or TableException or IOException)
{
    Console.Error.WriteLine("twin: " + e.Message);
    return Failed;
}
